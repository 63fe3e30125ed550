"""A reply to a From address is answered by a program, once, and only who proves to be its author."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from relay.policy.state import State
from relay.spool.inbound_values import InboundFilter, InboundView
from tests.support.whole_relay import WholeRelay, whole_relay

OURS = "ann@leak.lab.test"
BOTH = "bob@leak.lab.test"


@asynccontextmanager
async def hearing(folder: Path) -> AsyncIterator[WholeRelay]:
    """A relay whose From addresses have been used, in a world where inbox.lab.test vouches for this machine."""
    inbound = {
        "listen": ["127.0.0.1:0"],
        "domain": "bounces.leak.lab.test",
        "tls": {"certificate": "relay.pem", "key": "relay.key"},
    }
    async with whole_relay(folder, "", inbound=inbound) as relay, asyncio.timeout(90):
        relay.lab.zone.publish("inbox.lab.test", "TXT", "v=spf1 ip4:127.0.0.0/8 -all")
        relay.lab.zone.publish("plain.lab.test", "TXT", "v=spf1 -all")
        for sender in (OURS, BOTH):
            letter = f"From: <{sender}>\r\nTo: <ok@inbox.lab.test>\r\nSubject: hello\r\n\r\nA line.\r\n"
            await relay.until(await relay.send(sender, ["ok@inbox.lab.test"], letter.encode()), State.DELIVERED)
            while not await relay.stores.senders.has(sender):
                await asyncio.sleep(0.02)
        yield relay


async def write(
    relay: WholeRelay, author: str, *fields: str, to: str = OURS, path: str | None = None, content: bytes = b""
) -> InboundView:
    """A reply by `author` at the inbound door, once it is sorted."""
    lines = [f"From: <{author}>", f"To: <{to}>", "Subject: Re: hello", "Message-ID: <1@inbox.lab.test>", *fields]
    content = content or "\r\n".join([*lines, "", "Thank you.", ""]).encode()

    def send() -> int:
        with smtplib.SMTP("127.0.0.1", relay.inbound_port, local_hostname="inbox.lab.test", timeout=10) as client:
            client.ehlo()
            assert client.mail(author if path is None else path)[0] == 250
            assert client.rcpt(to)[0] == 250
            code, text = client.data(content)
            assert code == 250, (code, text)
            return int(text.decode().rpartition(" ")[2])

    number = await asyncio.to_thread(send)
    while True:
        view = await relay.stores.inbound.view(number)
        if view is not None and view.followed:
            return view
        await asyncio.sleep(0.02)


async def test_an_author_is_answered_once_in_seven_days(tmp_path: Path) -> None:  # S18, N08, RCP 10
    async with hearing(tmp_path) as relay:
        assert (await write(relay, "carol@inbox.lab.test")).followed == "answered"
        (answer,) = await relay.arrivals("carol@inbox.lab.test")
        assert answer.posting.reverse_path == ""
        assert b"\r\nAuto-Submitted: auto-replied\r\n" in answer.posting.content
        assert f"From: {OURS}".encode() in answer.posting.content.replace(b"<", b"").replace(b">", b"")
        assert b"In-Reply-To: <1@inbox.lab.test>" in answer.posting.content
        assert b"hello" not in answer.posting.content
        for again in ("carol@inbox.lab.test", "carol+2@inbox.lab.test", "Carol@inbox.lab.test"):
            kept = await write(relay, again, to=BOTH)
            assert (kept.followed, "answered in the last 7 days" in str(kept.detail["why"])) == ("kept", True)
        assert len(await relay.arrivals("carol@inbox.lab.test")) == 1


async def test_who_does_not_prove_to_be_the_author_is_kept_silently(tmp_path: Path) -> None:  # S18, S22
    async with hearing(tmp_path) as relay:
        forged = await write(relay, "dave@plain.lab.test")
        assert (forged.followed, forged.shown) == ("kept", False)
        assert "DMARC fail" in str(forged.detail["why"])
        assert (await write(relay, "dave@inbox.lab.test", path="")).followed == "kept"
        assert (await write(relay, "dave@inbox.lab.test", path="eve@inbox.lab.test")).followed == "kept"
        for field in ("Precedence: bulk", "List-Id: <x.lab.test>", "Auto-Submitted: auto-generated"):
            assert (await write(relay, "dave@inbox.lab.test", field)).followed == "kept"
        assert [one.followed for one in await relay.stores.inbound.listing(InboundFilter(waiting=False))] == [
            "kept"
        ] * 6
        assert (await write(relay, "dave@inbox.lab.test")).followed == "answered"
        (only,) = await relay.arrivals("dave@inbox.lab.test")
        assert only.posting.reverse_path == ""


async def test_programs_never_answer_each_other(tmp_path: Path) -> None:  # S18
    """The lab's vacation, and two addresses of ours: one answer each way at most, and then there is silence."""
    async with hearing(tmp_path) as relay:
        assert (await write(relay, "vacation@inbox.lab.test")).followed == "answered"
        assert (await write(relay, OURS, to=BOTH)).followed == "answered"
        (answer,) = await relay.arrivals(OURS)
        # The lab's host took it for us; what our own door says to it, and to a second round that never gives up:
        assert (await write(relay, BOTH, path="", content=answer.posting.content)).followed == "kept"
        assert (await write(relay, BOTH, content=answer.posting.content)).followed == "kept"
        assert (await write(relay, OURS, to=BOTH)).followed == "kept"
        assert (await write(relay, "vacation@inbox.lab.test", to=BOTH)).followed == "kept"
        assert len(await relay.arrivals("vacation@inbox.lab.test")) == 1
        assert len(await relay.arrivals(OURS)) == 1
