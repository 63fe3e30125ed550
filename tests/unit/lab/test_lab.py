"""The lab as a whole: quick to start, several at once, clear when a port is taken, gone when stopped."""

from __future__ import annotations

import errno
import socket
import ssl
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.ids import SeededEntropy
from relay.lab.lab import Lab, LabPlan
from relay.lab.listening import MissingAliasError, PortTakenError, taken
from tests.support.smtp_talk import Talk

FREE = LabPlan(dns_port=0, http_port=0, smtp_port=0)
CONTENT = b"From: a@leak.lab.test\r\nSubject: hi\r\n\r\nhello\r\n"


def new_lab(folder: Path, plan: LabPlan = FREE) -> Lab:
    return Lab(folder, SystemClock(), SeededEntropy(1), plan)


async def test_two_labs_side_by_side(tmp_path: Path) -> None:
    labs = [new_lab(tmp_path / "a"), new_lab(tmp_path / "b", replace(FREE, subnet=9))]
    for lab in labs:
        await lab.start()
    async with Talk("127.0.9.1", labs[1].smtp_port) as client:
        await client.hello()
        assert (await client.mail("a@leak.lab.test", "ok@inbox.lab.test", CONTENT)).startswith("250")
    assert (len(labs[0].inbox), len(labs[1].inbox)) == (0, 1)
    for lab in labs:
        await lab.stop()
        await lab.stop()


@pytest.mark.parametrize(
    ("part", "setting"),
    [("dns_port", "resolver.nameservers"), ("http_port", "lab.inbox"), ("smtp_port", "delivery.port")],
)
async def test_a_taken_port_is_named_with_the_setting_that_moves_it(tmp_path: Path, part: str, setting: str) -> None:
    host = "127.0.1.1" if part == "smtp_port" else "127.0.0.1"
    with socket.create_server((host, 0)) as other:
        port = other.getsockname()[1]
        lab = new_lab(tmp_path, replace(FREE, **{part: port}))
        with pytest.raises(PortTakenError, match=rf"{port} is in use.*set {setting} .*to another one"):
            await lab.start()


def test_missing_addresses_come_with_the_commands() -> None:
    error = taken("mail hosts", "127.0.1.7", 10025, "smtp_port", OSError(errno.EADDRNOTAVAIL, "no"))
    assert isinstance(error, MissingAliasError)
    assert "127.0.1.7" in str(error)


async def test_stop_ends_open_sessions(tmp_path: Path) -> None:
    lab = new_lab(tmp_path)
    await lab.start()
    async with Talk("127.0.1.1", lab.smtp_port) as client:
        await client.hello()
        await lab.stop()
        assert await client.hear() == ""


async def test_the_authority_vouches_for_hosts_and_for_the_relay(lab: Lab) -> None:
    files = lab.issue("submission", "mail.leak.lab.test", "127.0.0.1")
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert isinstance(files.context(), ssl.SSLContext)
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for number, name in ((1, "mx.inbox.lab.test"), (9, "no-mx.lab.test")):
        async with Talk(f"127.0.1.{number}", lab.smtp_port) as client:
            await client.hello()
            await client.start_tls(context, name)
            assert client.tls_version()


async def test_what_arrived_is_judged_by_itself(lab: Lab) -> None:
    async with Talk("127.0.1.1", lab.smtp_port) as client:
        await client.hello()
        await client.mail("a@leak.lab.test", "ok@inbox.lab.test", CONTENT)
    arrival = lab.inbox.get("latest")
    assert arrival is not None
    judged = await lab._examiner.verdict(arrival)
    assert (judged.spf.result, judged.dmarc.result) == ("pass", "pass")
