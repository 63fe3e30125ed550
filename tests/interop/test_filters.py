"""What arrives, read by the filters of receivers over the lab's DNS: SpamAssassin, OpenDMARC and rspamd."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final

import aiohttp
import dns.asyncresolver
import pytest

from tests.support.command import program
from tests.support.rspamd_filter import UNFIT, Judgement, Rspamd, rspamd_filter
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


FRENCH: Final = (
    "Cher Bob,\n\nnous nous verrons à huit heures chez nos amis de toujours, et nous parlerons de cet été passé au bord"
    " de la mer avec les enfants.\n\nAmicalement\n"
)
LETTERS: Final[dict[str, dict[str, Any]]] = {
    "plain": {"subject": "Dinner on Friday", "text": "Hello Bob,\n\nshall we meet at eight?\n\nAnn"},
    "accents": {"subject": "Le dîner de vendredi à huit heures, chez Zoé", "text": FRENCH},
    "html": {
        "subject": "Photographs",
        "text": "Hello Bob,\n\nhere they are.\n",
        "html": "<html><body><p>Hello Bob,</p><p>here they are.</p></body></html>",
        "attachments": [
            {"filename": "été.png", "content_type": "image/png", "content": base64.b64encode(b"\x89PNG" * 99).decode()}
        ],
    },
    "news": {"subject": "What is new", "text": "Hello,\n\nwe moved.\n", "stream": "news"},
}


async def posted(relay: WholeRelay, to: str, letter: dict[str, Any]) -> bytes:
    """A letter handed in over HTTP, as the lab's host took it."""
    document = {"from": "Ann Smith <ann@leak.lab.test>", "to": [to], **letter}
    async with (
        aiohttp.ClientSession(headers={"Authorization": "Bearer lab"}) as client,
        client.post(f"{relay.http}/api/v1/messages", json=document) as answer,
    ):
        assert answer.status == 202, await answer.text()
    (arrival,) = await relay.arrivals(to)
    return arrival.posting.content


async def judgement(filtering: Rspamd, content: bytes, to: str, reverse_path: str) -> Judgement:
    """What rspamd says to the host that took it."""
    found = await filtering.judge(
        RECEIVED.partition(b"\r\n")[2] + content,
        IP="127.0.0.1",
        Hostname="mail.leak.lab.test",
        Helo="mail.leak.lab.test",
        From=reverse_path,
        Rcpt=to,
    )
    faults = {name: symbol for name, symbol in found.symbols.items() if symbol["score"] > 0}
    assert (found.action, faults) == ("no action", {})
    return found


@pytest.mark.skipif(not IN_CI and bool(UNFIT), reason=UNFIT)
async def test_rspamd_finds_no_fault(tmp_path: Path) -> None:  # G07 L01 L04 L11 L12 M04 N03
    async with (
        whole_relay(tmp_path / "relay", unsubscribe={"streams": ["news"]}) as relay,
        rspamd_filter(relay.lab.nameserver) as filtering,
    ):
        for name, letter in LETTERS.items():
            to = f"ok+{name}@inbox.lab.test"
            symbols = (await judgement(filtering, await posted(relay, to, letter), to, "ann@leak.lab.test")).symbols
            assert {"R_SPF_ALLOW", "DMARC_POLICY_ALLOW"} <= set(symbols)
            assert sorted(symbols["R_DKIM_ALLOW"]["options"]) == [
                "leak.lab.test:s=lab-ed25519",
                "leak.lab.test:s=lab-rsa",
            ]
            assert ("HAS_LIST_UNSUB" in symbols) == (name == "news")
        await relay.send("ok@inbox.lab.test", ["unknown@inbox.lab.test"], LETTER.replace(b"leak.lab", b"inbox.lab"))
        (report,) = await relay.arrivals("ok@inbox.lab.test")
        await judgement(filtering, report.posting.content, "ok@inbox.lab.test", "")
