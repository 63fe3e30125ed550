"""Inbox or junk, with a real Dovecot: letters go through a whole relay to the lab, which hands them to the mailbox.

The lab judges them as a receiver does; what stands between it and Dovecot is the local delivery that a mail host does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from relay.cli.seeds import seed_findings
from relay.doctor.finding import Finding, Severity
from relay.figures.seeds import Landing, SeedLetter
from relay.lab.mailbox import Arrival
from relay.settings.operating import DoctorSettings
from tests.support.dovecot import PASSWORD, UNFIT, USER, Mailboxes, dovecot
from tests.support.whole_relay import WholeRelay, whole_relay

pytestmark = [pytest.mark.skipif(bool(UNFIT), reason=UNFIT), pytest.mark.asyncio(loop_scope="module")]

FOLDERS = {"ok": "", "junk": "Bulk", "lists": "Lists"}
"""Where the local delivery puts mail by its local part; the rest is dropped unsaid."""


@dataclass
class World:
    relay: WholeRelay
    mailboxes: Mailboxes
    folder: Path

    async def ask(self, *names: str, **changes: object) -> tuple[dict[str, Finding], dict[str, SeedLetter]]:
        """Try seeds with these local parts; `changes` are settings of each seed, or `wait`."""
        (self.folder / "password").write_text(PASSWORD + "\n")
        (self.folder / "wrong").write_text("not-the-password\n")
        for file in ("password", "wrong"):
            (self.folder / file).chmod(0o600)
        wait = changes.pop("wait", "30s")
        seeds = [
            {
                "name": name,
                "address": f"{name}@inbox.lab.test",
                "imap": f"localhost:{self.mailboxes.port}/tls",
                "user": USER,
                "password_file": str(self.folder / "password"),
                **changes,
            }
            for name in names
        ]
        doctor = DoctorSettings.model_validate({"seeds": seeds, "seed_wait": wait, "timeout": "10s"})
        settings = self.relay.settings.model_copy(update={"doctor": doctor})
        told: list[Finding] = []
        findings, letters, history = await seed_findings(settings, send=True, told=told.append)
        assert sorted(one.subject for one in told) == sorted(names)
        # What was seen is kept, under names and not addresses.
        assert {(one.seed, one.landing) for one in letters} <= {(one.seed, one.landing) for one in history}
        return {one.subject: one for one in findings}, {one.seed: one for one in letters}


async def deliver(relay: WholeRelay, mailboxes: Mailboxes) -> None:
    """The mail host's local delivery: from the lab's inbox into the Maildir, below the fields a mail host writes."""
    done: set[str] = set()
    while True:
        for arrival in relay.lab.inbox.newest_first():
            if arrival.id in done or arrival.verdict is None:
                continue
            done.add(arrival.id)
            local = arrival.posting.recipients[0].partition("@")[0]
            if local in FOLDERS:
                mailboxes.put(fields(arrival) + arrival.posting.content, FOLDERS[local])
        await asyncio.sleep(0.05)


def fields(arrival: Arrival) -> bytes:
    assert arrival.verdict is not None
    client = arrival.posting.client
    using = f"(using {client.tls_version} with cipher {client.tls_cipher})\r\n\t" if client.tls_version else ""
    return (
        f"Authentication-Results: {arrival.verdict.authentication_results.partition(':')[2].strip()}\r\n"
        f"X-Spam-Status: Yes, score=7.2 required=5.0 tests=TOO_NICE\r\n"
        f"Received: from {client.name} (unknown [{client.address}])\r\n\t{using}"
        f"by {arrival.posting.host} (Postfix) with {'ESMTPS' if using else 'ESMTP'} id 4c;\r\n"
        f"\t{arrival.at:%a, %d %b %Y %H:%M:%S} +0000\r\n"
    ).encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("seeds")
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    chain, key = b"".join(pem.bytes() for pem in leaf.cert_chain_pems), leaf.private_key_pem.bytes()
    async with whole_relay(folder) as relay, dovecot(certificate=chain, key=key) as mailboxes:
        # What the lab's authority signs and what Dovecot shows are trusted alike.
        with (folder / "ca.pem").open("ab") as file:
            file.write(authority.cert_pem.bytes())
        delivering = asyncio.create_task(deliver(relay, mailboxes))
        try:
            yield World(relay, mailboxes, folder)
        finally:
            delivering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await delivering


async def test_inbox_junk_and_a_filter(world: World) -> None:
    """Where each arrived, what the receiver said about it, and that it stays there."""
    findings, letters = await world.ask("ok", "junk", "lists")
    assert letters["ok"].landing is Landing.INBOX
    assert letters["junk"].landing is Landing.JUNK
    assert letters["junk"].folder == "Bulk"
    assert letters["lists"].landing is Landing.OTHER
    for letter in letters.values():
        assert (letter.spf, letter.dkim, letter.dmarc, letter.tls) == ("pass", "pass", "pass", "TLS 1.3")
        assert letter.delay is not None
        assert letter.delay < 60
    assert findings["ok"].severity is Severity.OK
    assert findings["junk"].severity is Severity.WARNING
    assert "X-Spam-Status: Yes, score=7.2" in findings["junk"].evidence
    assert "X-Spam-Status" not in findings["ok"].evidence
    assert findings["lists"].severity is Severity.NOTE
    assert world.mailboxes.count() >= 1
    assert world.mailboxes.count("Bulk") >= 1


async def test_the_alarm_ends_in_the_inbox(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Junk is an alarm for the node's ways; the next letter in the inbox ends it, and so does a seed's removal."""

    async def standing() -> list[str]:
        return [one.subject for one in await world.relay.stores.spool.alarms() if one.kind == "seeds"]

    await world.ask("junk")
    assert await standing() == ["junk"]
    await world.ask("junk", imap="127.0.0.1:1/tls")
    assert await standing() == ["junk"]
    with monkeypatch.context() as patched:
        patched.setitem(FOLDERS, "junk", "")
        await world.ask("junk")
    assert await standing() == []
    await world.ask("junk")
    await world.ask("ok")
    assert await standing() == []


async def test_removed_where_it_is_asked_for(world: World) -> None:
    """Over STARTTLS this time; nothing but the letter is deleted."""
    world.mailboxes.put(b"Message-ID: <another@example>\r\nSubject: stays\r\n\r\nhere\r\n")
    before = world.mailboxes.count()
    findings, letters = await world.ask("ok", remove=True, imap=f"localhost:{world.mailboxes.starttls_port}")
    assert letters["ok"].landing is Landing.INBOX, findings
    assert world.mailboxes.count() == before


async def test_taken_and_in_no_folder(world: World) -> None:
    """A provider that drops it unsaid."""
    findings, letters = await world.ask("lost", wait="1s")
    while letters["lost"].landing is Landing.WAITING:  # a busy machine takes longer to deliver it
        findings, letters = await world.ask("lost", wait="1s")
    assert letters["lost"].landing is Landing.MISSING
    assert findings["lost"].severity is Severity.ERROR
    assert "in no folder" in findings["lost"].evidence


async def test_refused(world: World) -> None:
    """The provider's words are the evidence, without the address."""
    findings, letters = await world.ask("unknown")
    assert letters["unknown"].landing is Landing.REFUSED
    assert findings["unknown"].severity is Severity.ERROR
    assert "5.1.1" in findings["unknown"].evidence
    assert "unknown@" not in findings["unknown"].evidence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"password_file": "{folder}/wrong"}, "the login was refused"),
        ({"imap": "127.0.0.1:{tls}/tls"}, "its certificate is not good"),
        ({"imap": "127.0.0.1:{starttls}"}, "its certificate is not good"),
        ({"imap": "localhost:{starttls}/tls"}, "localhost"),
        ({"imap": "127.0.0.1:1/tls"}, "refused"),
    ],
    ids=["wrong password", "another name", "another name by STARTTLS", "no TLS there", "nobody there"],
)
async def test_a_mailbox_that_does_not_open(world: World, changes: dict[str, str], words: str) -> None:
    """Unknown, never a fault of ours; no letter is sent and no password told."""
    ports = {"tls": world.mailboxes.port, "starttls": world.mailboxes.starttls_port, "folder": world.folder}
    arrived = len(list(world.relay.lab.inbox.newest_first()))
    findings, letters = await world.ask("ok", **{name: text.format(**ports) for name, text in changes.items()})
    assert not letters
    assert findings["ok"].severity is Severity.UNKNOWN
    assert words in findings["ok"].evidence
    assert "no letter was sent" in findings["ok"].evidence
    assert "not-the-password" not in str(findings)
    assert PASSWORD not in str(findings)
    assert len(list(world.relay.lab.inbox.newest_first())) == arrived


async def test_still_in_the_queue(world: World) -> None:
    """A provider that puts it off: a warning with its words, and no guess about the mailbox."""
    findings, letters = await world.ask("defer+421x50", wait="1s")
    while "421" not in findings["defer+421x50"].evidence:  # a busy machine takes longer to try it
        findings, letters = await world.ask("defer+421x50", wait="1s")
    assert letters["defer+421x50"].landing is Landing.WAITING
    assert findings["defer+421x50"].severity is Severity.WARNING
    assert "421" in findings["defer+421x50"].evidence
