"""Other people's programs submit: swaks over STARTTLS and implicit TLS, curl to the API, `leak send` as sendmail."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from relay.lab.mailbox import Arrival
from tests.support.command import program
from tests.support.relay_process import COMMAND
from tests.support.whole_relay import WholeRelay, whole_relay


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


async def run(*command: str, given: bytes = b"", **environment: str) -> tuple[int, str]:
    ran = await program(*command, given=given, environment=environment)
    return ran.status, ran.out + ran.err


async def check_arrival(relay: WholeRelay, recipient: str, subject: str) -> Arrival:
    (arrival,) = await relay.arrivals(recipient)
    async with asyncio.timeout(20):
        while arrival.verdict is None:
            await asyncio.sleep(0.02)
    verdict = arrival.verdict
    assert (verdict.spf.result, [one.result for one in verdict.dkim], verdict.dmarc.result) == (
        "pass",
        ["pass", "pass"],
        "pass",
    )
    assert f"Subject: {subject}\r\n".encode() in arrival.posting.content
    return arrival


@needs("swaks")
@pytest.mark.parametrize("how", ["starttls", "implicit"])
async def test_swaks_with_auth(tmp_path: Path, how: str) -> None:
    async with whole_relay(tmp_path) as relay:
        port, tls = (relay.smtp_port, "--tls") if how == "starttls" else (relay.smtps_port, "--tlsc")
        status, output = await run(
            "swaks", "--server", f"127.0.0.1:{port}", tls, "--tls-verify", "--tls-ca-path", str(relay.lab.ca_file),
            "--auth-user", "lab", "--auth-password", "lab", "--helo", "client.example",
            "--from", "ann@leak.lab.test", "--to", "ok@inbox.lab.test", "--h-Subject", "By swaks",
        )  # fmt: skip
        assert status == 0, output
        assert "250 2.0.0 accepted " in output
        arrival = await check_arrival(relay, "ok@inbox.lab.test", "By swaks")
        assert b"with ESMTPSA id" in arrival.posting.content


@needs("swaks")
async def test_swaks_without_auth_is_refused(tmp_path: Path) -> None:
    # F01, C14
    async with whole_relay(tmp_path) as relay:
        status, output = await run(
            "swaks", "--server", f"127.0.0.1:{relay.smtp_port}", "--from", "ann@leak.lab.test",
            "--to", "ok@inbox.lab.test",
        )  # fmt: skip
        assert status != 0
        assert "530 5.7.0" in output


@needs("curl")
async def test_curl_to_the_api(tmp_path: Path) -> None:
    async with whole_relay(tmp_path) as relay:
        body = {"from": "ann@leak.lab.test", "to": ["ok@inbox.lab.test"], "subject": "By curl", "text": "Été"}
        status, output = await run(
            "curl", "-sS", "-H", "Authorization: Bearer lab", "-H", "Content-Type: application/json",
            "-d", json.dumps(body), f"{relay.http}/api/v1/messages",
        )  # fmt: skip
        assert status == 0, output
        answer = json.loads(output)
        await check_arrival(relay, "ok@inbox.lab.test", "By curl")
        await relay.until(answer["id"])
        _, output = await run(
            "curl", "-sS", "-H", "Authorization: Bearer lab", f"{relay.http}/api/v1/messages/{answer['id']}"
        )
        assert json.loads(output)["recipients"][0]["state"] == "delivered"


async def test_leak_send_reads_recipients_from_the_header(tmp_path: Path) -> None:
    async with whole_relay(tmp_path) as relay:
        mail = (
            b"From: ann@leak.lab.test\nTo: ok@inbox.lab.test\nBcc: secret@inbox.lab.test\nSubject: By hand\n\nHello\n"
        )
        status, output = await run(
            *COMMAND,
            "send",
            "-t",
            given=mail,
            LEAK_SEND_SERVER=f"127.0.0.1:{relay.smtp_port}",
            LEAK_SEND_USER="lab",
            LEAK_SEND_PASSWORD="lab",
        )
        assert status == 0, output
        await relay.arrivals("secret@inbox.lab.test")
        found = [one.posting for one in relay.lab.inbox.newest_first()]
        assert all(b"secret@" not in posting.content for posting in found)  # F13
        assert {to for posting in found for to in posting.recipients} == {"ok@inbox.lab.test", "secret@inbox.lab.test"}


def readme_calls() -> list[str]:
    """The shell commands of the README's first chapter that hand in a letter, as they stand there."""
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    chapter = text.split("## Two minutes")[1].split("\n## ")[0]
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL))
    commands = blocks.replace("\\\n", " ").splitlines()
    return [line for line in commands if "127.0.0.1:" in line]


@needs("swaks")
@needs("curl")
async def test_what_the_readme_says_hands_in_letters(tmp_path: Path) -> None:
    calls = readme_calls()
    async with whole_relay(tmp_path) as relay:
        for call in calls:
            here = call.replace("http://127.0.0.1:8080", relay.http)
            here = here.replace("127.0.0.1:2525", f"127.0.0.1:{relay.smtp_port}")
            here = here.replace(".venv/bin/leak", shlex.join(COMMAND))
            status, output = await run("bash", "-o", "pipefail", "-c", here)
            assert status == 0, (call, output)
        await relay.arrivals("ok@inbox.lab.test", len(calls))
    assert [call.split()[0] for call in calls] == ["curl", "swaks", "printf"]
