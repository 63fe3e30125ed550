"""What arrives, read by the filters of receivers: SpamAssassin over the lab's DNS, OpenDMARC over its record."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from pathlib import Path

import dns.asyncresolver
import pytest

from tests.support.command import program
from tests.support.whole_relay import WholeRelay, whole_relay

PATHS = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
IN_CI = bool(os.environ.get("CI"))
SPAMASSASSIN = shutil.which("spamassassin", path=PATHS)
OPENDMARC = shutil.which("opendmarc", path=PATHS)
PLUGINS = Path("/etc/spamassassin")
LETTER = (
    b"From: Ann Smith <ann@leak.lab.test>\r\nTo: ok@inbox.lab.test\r\nSubject: Dinner on Friday\r\n\r\n"
    b"Hello Bob,\r\n\r\nshall we meet at eight? I will bring the photographs of last summer.\r\n\r\nAnn\r\n"
)
RECEIVED = (
    b"Return-Path: <ann@leak.lab.test>\r\nReceived: from mail.leak.lab.test (mail.leak.lab.test [127.0.0.1])\r\n"
    b"\tby mx.inbox.lab.test (Postfix) with ESMTPS id 4B1234;\r\n\tSun, 22 Nov 2026 07:55:00 +0000\r\n"
)


async def arrived(relay: WholeRelay) -> tuple[bytes, str]:
    """The letter as the lab's host took it, and what that host says of it."""
    await relay.send("ann@leak.lab.test", ["ok@inbox.lab.test"], LETTER)
    (arrival,) = await relay.arrivals("ok@inbox.lab.test")
    async with asyncio.timeout(30):
        while arrival.verdict is None:
            await asyncio.sleep(0.02)
    return arrival.posting.content, arrival.verdict.authentication_results


async def policy(nameserver: str) -> str:
    """The sender's DMARC record."""
    address, _, port = nameserver.rpartition(":")
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [address], int(port)
    answer = await resolver.resolve("_dmarc.leak.lab.test", "TXT")
    return b"".join(answer[0].strings).decode()


@pytest.mark.skipif(not IN_CI and None in (SPAMASSASSIN, OPENDMARC), reason="SpamAssassin or OpenDMARC is missing")
async def test_filters_of_receivers(tmp_path: Path) -> None:  # L01 M01
    assert SPAMASSASSIN is not None
    assert OPENDMARC is not None
    async with whole_relay(tmp_path / "relay") as relay:
        content, results = await arrived(relay)
        record = await policy(relay.lab.nameserver)
        rules = tmp_path / "spamassassin"
        rules.mkdir()
        for plugins in PLUGINS.glob("*.pre"):
            shutil.copy(plugins, rules)
        (rules / "local.cf").write_text(
            f"dns_server {relay.lab.nameserver}\ndns_available yes\nuse_bayes 0\nskip_rbl_checks 1\n"
            "clear_report_template\nreport _YESNO_ _TESTS_\n"
        )
        given = (RECEIVED + content).replace(b"\r\n", b"\n")
        ran = await program(SPAMASSASSIN, "-t", "-x", "--siteconfigpath", str(rules), given=given)
        found = set(re.findall(r"[A-Z][A-Z0-9_]+", ran.out))
        assert {"DKIM_VALID", "DKIM_VALID_AU", "DKIM_VALID_EF"} <= found, ran.err
        assert "DKIM_INVALID" not in found
        assert "X-Spam-Status: No" in ran.out
    judged = tmp_path / "letter"
    judged.write_bytes((results.strip().encode() + b"\r\n" + content).replace(b"\r\n", b"\n"))
    (tmp_path / "records").write_text(f"_dmarc.leak.lab.test {record}\n")
    host = results.partition(":")[2].split(";")[0].strip()
    (tmp_path / "opendmarc.conf").write_text(
        f"AuthservID {host}\nTrustedAuthservIDs {host}\nTestDNSData {tmp_path / 'records'}\n"
    )
    ran = await program(OPENDMARC, "-c", str(tmp_path / "opendmarc.conf"), "-vv", "-t", str(judged))
    assert "dmarc=pass" in ran.out, (ran, results)
    assert "header.from=leak.lab.test" in ran.out
