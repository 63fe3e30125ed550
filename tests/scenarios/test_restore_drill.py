"""The restore drill: a node is made again elsewhere, under another host name, and what it once promised still holds.

Links in letters, the sender's own page, refusals, return tokens and signatures hang on secrets that no database has.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import re
import smtplib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.lab.lab import Lab
from relay.lab_node import equip
from relay.policy.state import State
from relay.settings import load_settings
from tests.support.command import leak
from tests.support.delivery_reports import Report, failed
from tests.support.either_database import BOTH
from tests.support.form import PageReader
from tests.support.postgres_server import PostgresServer
from tests.support.relay_process import write_toml
from tests.support.visitor import LETTER
from tests.support.whole_relay import WholeRelay, relay_against, relay_data, running_lab

OLD, NEW = "mail.leak.lab.test", "other.leak.lab.test"
READER, REFUSER = "ok@inbox.lab.test", "two@inbox.lab.test"
NOTE = b"From: Ann <ann@leak.lab.test>\r\nTo: ok@inbox.lab.test\r\nSubject: Hi\r\n\r\nHello.\r\n"
PASSPHRASE = "a passphrase of some length"


@dataclass(frozen=True, slots=True)
class Promised:
    """What the old node gave out."""

    status: str
    trace: str
    refusal: str
    message: str
    return_path: str


def configure(folder: Path, lab: Lab, spool: str) -> Path:
    """A configuration with folders and files inside, beside and apart from its own."""
    folder.mkdir()
    data: dict[str, dict[str, Any]] = relay_data(
        lab,
        node={"name": OLD, "secrets": str(folder.parent / "apart" / "secrets")},
        spool={"url": spool},
        inbound={"listen": ["127.0.0.1:0"], "domain": "bounces.leak.lab.test"},
        signing={
            "keys": "../dkim_keys",
            "domain": [{"domain": "leak.lab.test", "selectors": ["lab-rsa", "lab-ed25519"]}],
        },
        delivery={"ca_file": str(lab.ca_file)},
        submission={
            "tls": {
                "certificate": str(lab.ca_file.with_name("relay.pem")),
                "key": str(lab.ca_file.with_name("relay.key")),
            }
        },
        unsubscribe={"base_url": "https://leak.lab.test", "streams": ["letters"]},
        web={"sealed_keys": str(folder.parent / "apart" / "custodian" / "public")},
        egress={"source": [{"name": "one", "ehlo": OLD}]},
    )
    file = folder / "relay.toml"
    write_toml(file, data)
    return file


async def write_letter(relay: WholeRelay, to: str) -> str:
    """Through the form; the sender's own link."""
    async with aiohttp.ClientSession(relay.http) as client:
        async with client.get("/en/") as page:
            fields = PageReader(await page.text()).fields
        async with client.post("/en/preview", data=fields | LETTER | {"to": to}) as page:
            token = PageReader(await page.text()).fields["token"]
        async with client.post("/en/preview", data={"token": token, "action": "send"}, allow_redirects=False) as answer:
            assert answer.status == 303
            return answer.headers["Location"]


async def live(relay: WholeRelay) -> Promised:
    """A letter, a refusal and a message at the old node."""
    status = await write_letter(relay, READER)
    (letter,) = await relay.arrivals(READER)
    await write_letter(relay, REFUSER)
    (refused,) = await relay.arrivals(REFUSER)
    refusal = f"/u/{ways(refused.posting.content)[1]}"
    async with aiohttp.ClientSession(relay.http) as client, client.post(refusal) as answer:
        assert answer.status == 200
    message = await relay.send("ann@leak.lab.test", [READER], NOTE)
    await relay.until(message, State.DELIVERED)
    sent = (await relay.arrivals(READER, 2))[1]
    trace, refusal = ways(letter.posting.content)
    return Promised(status, trace, refusal, str(message), sent.posting.reverse_path)


def ways(content: bytes) -> tuple[str, str]:
    """The tokens of a letter's links /r/ and /u/."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    part = mail.get_body(("plain",))
    assert part is not None
    trace = re.search(r"/r/([\w-]+)", part.get_content())
    refusal = re.search(r"/u/([\w-]+)", str(mail["List-Unsubscribe"]))
    assert trace is not None
    assert refusal is not None
    return trace[1], refusal[1]


async def holds(relay: WholeRelay, promised: Promised) -> None:
    """Everything the old node gave out is good at the new one."""
    async with aiohttp.ClientSession(relay.http) as client:
        for path in (promised.status, f"/r/{promised.trace}", f"/u/{promised.refusal}"):
            async with client.get(path) as page:
                assert page.status == 200, path
        async with client.post(f"/u/{promised.refusal}") as page:
            assert page.status == 200
    # The bounce of what the old node sent finds its delivery; a token nobody signed finds nothing.
    local, _, domain = promised.return_path.rpartition("@")
    assert await asyncio.to_thread(bounce, relay, f"{local[:-2]}zz@{domain}") == 550
    assert await asyncio.to_thread(bounce, relay, promised.return_path) == 250
    await relay.until(promised.message, State.RETURNED)
    # Who refused letters at the old node gets none from the new one.
    status = await write_letter(relay, REFUSER)
    async with aiohttp.ClientSession(relay.http) as client, asyncio.timeout(60):
        while True:
            async with client.get(status) as page:
                if "It could not be delivered" in await page.text():
                    break
            await asyncio.sleep(0.05)
    assert len(await relay.arrivals(REFUSER)) == 1
    message = await relay.send("ann@leak.lab.test", ["three@inbox.lab.test"], NOTE)
    await relay.until(message, State.DELIVERED)
    (arrival,) = await relay.arrivals("three@inbox.lab.test")
    async with asyncio.timeout(30):
        while arrival.verdict is None:
            await asyncio.sleep(0.02)
    assert [one.result for one in arrival.verdict.dkim] == ["pass", "pass"]
    assert NEW.encode() in arrival.posting.content.partition(b"\r\n\r\n")[0]


def bounce(relay: WholeRelay, path: str) -> int:
    """Hand in a report; the reply to RCPT, or that to the dot."""
    report = Report((failed("ok@inbox.lab.test"),)).build().replace(b"\n", b"\r\n")
    with smtplib.SMTP("127.0.0.1", relay.inbound_port, timeout=30) as client:
        client.ehlo("mx.example")
        client.mail("")
        code, _ = client.rcpt(path)
        return client.data(report)[0] if code == 250 else code


@pytest.mark.parametrize("kind", BOTH)
async def test_a_node_made_again_elsewhere_keeps_every_promise(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:  # R11
    spool, words = "sqlite:spool.db", []
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        spool, words = await server.create(), ["--spool", await server.create()]
        monkeypatch.setenv("PATH", f"{server.binaries}:{os.environ['PATH']}")
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE)
    secret.chmod(0o600)
    archive, new = tmp_path / "all.leakbackup", tmp_path / "new"
    (tmp_path / "lab").mkdir()
    async with running_lab(tmp_path / "lab") as lab, asyncio.timeout(120):
        file = configure(tmp_path / "old", lab, spool)
        equip(lab, load_settings(file))
        assert leak(capsys, "sealed", "new-keys", tmp_path / "apart" / "custodian", "--months", "1").status == 0
        async with relay_against(lab, load_settings(file)) as relay:
            promised = await live(relay)
            # Taken while the node works; an empty copy of the schema is no promise.
            made = leak(capsys, "backup", "--all", "--passphrase-file", secret, archive, "--config", file)
            assert made.status == 0, made.err
        assert leak(capsys, "restore", "--check", "--passphrase-file", secret, archive).status == 0
        (tmp_path / "old").rename(tmp_path / "gone")
        (tmp_path / "apart").rename(tmp_path / "gone" / "apart")
        (tmp_path / "dkim_keys").rename(tmp_path / "gone" / "dkim_keys")
        restored = leak(
            capsys, "restore", archive, "--passphrase-file", secret, "--folder", new, "--hostname", NEW, *words
        )
        assert restored.status == 0, restored.err
        assert not restored.err
        assert len(list(new.glob("public/*.pem"))) == 1
        assert {path.stat().st_mode & 0o077 for path in new.rglob("*")} == {0}
        async with relay_against(lab, load_settings(new / "relay.toml")) as relay:
            await holds(relay, promised)
        again = leak(capsys, "restore", archive, "--passphrase-file", secret, "--folder", new)
        assert again.status == 1
        assert "exists" in again.err
