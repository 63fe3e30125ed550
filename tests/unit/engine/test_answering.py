"""A reply to a letter is heard whoever else writes, and only if its author wrote it there."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.engine.answering import MAX_JUDGING, AnswerParts, Answers
from relay.engine.reissue import Reissues
from relay.engine.sorter import Sorter, SorterParts
from relay.engine.submission import Refusal, Submission
from relay.ids import SpoolId, SystemEntropy, new_spool_id
from relay.lab.zone import Zone, ZoneResolver
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.opening import Stores, open_stores
from relay.our_domains import ReportedDomains
from relay.policy.hearing import Purpose
from relay.policy.state import State
from relay.report.auto_reply import Words
from relay.report.classifier import Classifier
from relay.report.rules import load_rules
from relay.resolver.contract import DnsAnswer
from relay.settings import settings_from
from relay.smtp.reply import reply
from relay.spool.auto_answers import AutoAnswers
from relay.spool.inbound_values import MOST_REPLIES, InboundAddress, InboundView, NewInbound, RepliesCame
from relay.spool.letter_replies import Customer, LetterReplies
from relay.spool.work import Door, NewMessage, Settlement
from relay.suppression.hashing import AddressHasher
from relay.tokens import TokenKey, Tokens

PEER = "192.0.2.7"
TO = "a0@bounces.leak.example"


class HalfSlow:
    """A resolver of a world in which names below slow.example are answered once `answers` is set."""

    def __init__(self, zone: Zone) -> None:
        self.answers = asyncio.Event()
        self._inner = ZoneResolver(zone)

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        if name.endswith("slow.example"):
            await self.answers.wait()
        return await self._inner.ask(name, kind)


@dataclass
class Bench:
    stores: Stores
    sorter: Sorter
    resolver: HalfSlow

    async def letter(self, to: str = "bob@x.example") -> SpoolId:
        """A letter that arrived."""
        clock, life = SystemClock(), await self.stores.spool.register("node", 0)
        now, number = clock.now(), new_spool_id(1_790_000_000_000, SystemEntropy())
        envelope = Envelope(parse_address("letter@leak.example"), (Recipient(parse_address(to)),))
        later = now + timedelta(days=5)
        new = NewMessage(number, 1, None, Door.HTTP, envelope, b"a: b\r\n\r\n", b"", now, later, now, lease_to=life)
        receipt = await self.stores.spool.accept(new)
        await self.stores.spool.settle(life, [Settlement(receipt.seq, 0, State.DELIVERED)])
        return number

    async def came(self, author: str, letter: SpoolId | None, *, to: str = TO, path: str = "") -> int:
        """A mail by somebody to a letter's address, else to a From address."""
        purpose = Purpose.SENDER if letter is None else Purpose.REPLY
        address = InboundAddress(TO, purpose, None if letter is None else (letter, 0))
        content = f"From: <{author}>\r\nTo: {to}\r\nSubject: Re: x\r\n\r\nThank you.\r\n".encode()
        mail = NewInbound(PEER, "mx.x.example", True, parse_address(path or author), (address,), content)
        (number,) = await self.stores.inbound.take(mail)
        return number

    async def settled(self, number: int) -> InboundView:
        async with asyncio.timeout(10):
            while not (view := await self.stores.inbound.view(number)) or not view.followed:
                await asyncio.sleep(0.01)
        return view

    async def words(self) -> list[str]:
        replies = LetterReplies(self.stores.database, SystemClock())
        return [one.words for one in await replies.waiting(Customer(1, None), 10)]


async def _nothing(_: Submission) -> Refusal:
    return Refusal(reply(550, "5.7.1", "no"))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    clock = SystemClock()
    settings = settings_from({"spool": {"url": "sqlite:spool.db"}, "node": {"secrets": "secrets"}}, tmp_path)
    stores = await open_stores(settings, clock, SystemEntropy())
    await stores.accounts.ensure_tenant("local")
    zone = Zone()
    zone.publish("x.example", "TXT", f"v=spf1 ip4:{PEER} -all")
    resolver = HalfSlow(zone)
    parts = AnswerParts(
        "mail.leak.example",
        1,
        Words("Nobody reads this.", ""),
        stores.spool,
        AutoAnswers(stores.database, clock),
        AddressHasher([hmac.digest(b"k" * 32, b"answered", "sha256")]),
        resolver,
        _nothing,
        stores.suppressions,
        LetterReplies(stores.database, clock),
        clock,
    )
    sorting = SorterParts(
        stores.inbound,
        stores.spool,
        Tokens([TokenKey(b"k" * 32)], clock),
        Reissues("mail.leak.example", stores.spool, _nothing),
        Classifier(load_rules(None)),
        ReportedDomains(settings, stores.accounts, clock).get,
        answers=Answers(parts),
    )
    sorter = Sorter(sorting, lambda _: None)
    yield Bench(stores, sorter, resolver)
    resolver.answers.set()
    await sorter.stop()
    await stores.close()


async def test_who_writes_to_a_from_address_keeps_no_reply_to_a_letter_out(bench: Bench) -> None:  # S53
    for n in range(MAX_JUDGING):
        assert await bench.sorter.sort(await bench.came(f"eve{n}@slow.example", None))
    more = await bench.came("eve@slow.example", None)
    await bench.sorter.sort(more)
    assert "too many others" in str((await bench.settled(more)).detail["why"])
    number = await bench.came("bob@x.example", await bench.letter())
    assert await bench.sorter.sort(number)
    assert (await bench.settled(number)).followed == "passed-on"
    assert await bench.words() == ["Thank you."]


async def test_a_reply_waits_while_as_many_as_may_be_are_judged(bench: Bench) -> None:  # S53
    for n in range(MAX_JUDGING):
        author = f"eve{n}@slow.example"
        assert await bench.sorter.sort(await bench.came(author, await bench.letter(author)))
    number = await bench.came("bob@x.example", await bench.letter())
    assert not await bench.sorter.sort(number)
    view = await bench.stores.inbound.view(number)
    assert view is not None
    assert (view.followed, view.size > 0) == ("", True), "not read, and not lost"
    bench.resolver.answers.set()
    async with asyncio.timeout(10):
        while not await bench.sorter.sort(number):
            await asyncio.sleep(0.01)
    assert (await bench.settled(number)).followed == "passed-on"


async def test_strangers_who_know_a_letter_s_address_keep_its_recipient_out_of_nothing(bench: Bench) -> None:
    """However many they are, and however slow their DNS is; and of all but a few of them nothing is kept."""  # S53
    letter = await bench.letter()
    for n in range(MAX_JUDGING):
        await bench.sorter.sort(await bench.came(f"eve{n}@slow.example", letter))
    assert (await bench.stores.inbound.replies(letter, 0)).unsorted == MOST_REPLIES, "those are looked into"
    for path in ("bob@x.example", "eve@fast.example"):  # whatever the envelope says
        for _ in range(MOST_REPLIES):
            assert await bench.sorter.sort(await bench.came("eve@fast.example", letter, path=path))
    own = await bench.came("bob@x.example", letter)
    assert await bench.sorter.sort(own)
    assert (await bench.settled(own)).followed == "passed-on"
    bench.resolver.answers.set()
    async with asyncio.timeout(10):
        while (came := await bench.stores.inbound.replies(letter, 0)).unsorted:
            await asyncio.sleep(0.01)
    assert came == RepliesCame(MOST_REPLIES + 1, 0, is_answered=True)
    sql = "SELECT count(*), sum(size) FROM inbound_mail"
    rows = await bench.stores.database.read(lambda connection: list(connection.execute(sql)))
    assert rows == [(MOST_REPLIES + 1, 0)]
    assert await bench.words() == ["Thank you."]


async def test_a_stranger_s_mail_to_a_letter_does_not_wait_for_their_dns(  # S53
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("relay.engine.answering.SECONDS", 0.01)
    letter = await bench.letter()
    number = await bench.came("eve@slow.example", letter)
    assert await bench.sorter.sort(number)
    assert "could not be judged in time" in str((await bench.settled(number)).detail["why"])
    recipients = await bench.letter("eve@slow.example")
    waits = await bench.came("eve@slow.example", recipients)
    assert await bench.sorter.sort(waits)
    async with asyncio.timeout(10):
        while "reply-put-off" not in caplog.text:
            await asyncio.sleep(0.01)
    assert (await bench.stores.inbound.replies(recipients, 0)).unsorted == 1, "its recipient's does, for a day"


async def test_a_mail_to_somebody_else_that_is_handed_in_again_is_no_reply(bench: Bench) -> None:  # S18
    letter = await bench.letter()
    for to in ("<eve@x.example>", f"<eve@x.example>\r\nTo: <{TO}>"):
        replayed = await bench.came("bob@x.example", letter, to=to)
        await bench.sorter.sort(replayed)
        assert "not written to the letter's address" in str((await bench.settled(replayed)).detail["why"])
    assert await bench.words() == []
    own = await bench.came("bob@x.example", letter, to=f"A friend\r\n <{TO.upper()}>, <carol@x.example>")
    await bench.sorter.sort(own)
    assert (await bench.settled(own)).followed == "passed-on"
