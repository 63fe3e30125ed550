"""Warm-ups in every database: one ceiling for all who ask, counted once, judged by what providers answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from relay.account.book import AccountBook
from relay.database.contract import Database
from relay.engine.learning import Learner, LearnerParts
from relay.event import EventKind
from relay.figures.book import FigureBook
from relay.ids import SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.outcome import Course, DecidedBy, Diagnosis, Host, Outcome, Phase, Result, Scope
from relay.policy.state import State
from relay.policy.warm_up import Mark, Results, WarmUpRules, today
from relay.shaping.contract import Answer, Question, Unused, WarmUpKey
from relay.shaping.warm_ups import WarmUpBook
from relay.smtp.reply import remote_reply
from relay.spool.contract import Spool
from relay.spool.work import AttemptRecord, Door, NewMessage, Settlement, Warmth
from tests.support.either_database import BOTH, open_database, spool_on
from tests.support.hand_clock import HandClock
from tests.support.suppressions import book_on

KEY = WarmUpKey("sender.example", "ip1", 4, "big")
RULES = WarmUpRules((6, 12, 24))
HOURS = 3600
GREY = Diagnosis("greylisted", Scope.MESSAGE, Course.AS_SAID, "a-rule")
SLOW = Diagnosis("rate-limit", Scope.SITE, Course.AS_SAID, "a-rule")


@dataclass
class Bench:
    database: Database
    clock: HandClock
    spool: Spool
    book: WarmUpBook
    learner: Learner

    async def ask(self, letters: int, *, key: WarmUpKey = KEY, promised: bool = False, begins: int = 1) -> Answer:
        return (await self.book.ask([Question(key, letters, promised, RULES, begins)]))[0]

    async def use_all(self) -> int:
        """Ask the day long; how many might leave."""
        granted, day = 0, today(self.clock.now().timestamp())
        while today(self.clock.now().timestamp()) == day:
            granted += (await self.ask(1, promised=True)).granted
            self.clock.move(HOURS)
        return granted

    async def attempted(self, row: int, result: Result, diagnosis: Diagnosis | None = None) -> None:
        """A letter that left by a warm-up, and what was answered."""
        now = self.clock.now()
        message = NewMessage(
            id=new_spool_id(int(now.timestamp() * 1000), SystemEntropy()),
            tenant=1,
            credential=None,
            door=Door.SMTP,
            envelope=Envelope(parse_address("ann@sender.example"), (Recipient(parse_address("you@big.example")),)),
            content=b"Subject: x\r\n\r\nbody\r\n",
            prelude=b"",
            accepted_at=now,
            expires_at=now + timedelta(days=5),
            due=now,
        )
        receipt = await self.spool.accept(message)
        me = await self.spool.register("node", 0)
        await self.spool.claim(me, 10)
        state, kind, code = {
            Result.DELIVERED: (State.DELIVERED, EventKind.DELIVERED, "250"),
            Result.PERMANENT: (State.BOUNCED, EventKind.BOUNCED, "550"),
            Result.TEMPORARY: (State.WAITING, EventKind.DEFERRED, "450"),
        }[result]
        reply = remote_reply(int(code), ("what they said",))
        host = Host("mx.big.example", "192.0.2.1")
        outcome = Outcome(result, Scope.MESSAGE, Phase.MAIL, DecidedBy.REMOTE, reply, host, diagnosis=diagnosis)
        attempt = AttemptRecord(1, now, outcome, "ip1", 5)
        due = now + timedelta(days=4) if state is State.WAITING else None
        settled = Settlement(receipt.seq, 0, state, due, kind, attempt=attempt, source="ip1", warmth=Warmth(row))
        assert await self.spool.settle(me, [settled]) == 1

    async def learn(self) -> None:
        while await self.learner.step():
            pass


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = HandClock()
    clock.jump(-12 * HOURS)
    database = await open_database(request, tmp_path)
    spool = spool_on(database, clock)
    accounts = AccountBook(database, clock, SystemEntropy())
    await accounts.migrate()
    assert await accounts.ensure_tenant("one") == 1
    await spool.migrate()
    figures, suppressions, book = FigureBook(database, clock), book_on(database, clock), WarmUpBook(database, clock)
    await figures.migrate()
    await suppressions.migrate()
    await book.migrate()
    parts = LearnerParts(spool, figures, suppressions, clock, book)
    learner = Learner(parts, "node/0", lambda host, _: host and "big")
    yield Bench(database, clock, spool, book, learner)
    await accounts.close()
    await spool.close()


async def test_all_who_ask_share_one_ceiling_and_are_told_when(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.ask(3) for _ in range(6)))
    assert sum(one.granted for one in answers) == 1  # the first of six; the others leave over the day
    departs = [one.departs for one in answers if one.departs is not None]
    assert len(departs) == 6
    assert len(set(departs)) == 6
    assert all(at > bench.clock.now() for at in departs)
    assert (await bench.ask(1, key=KEY._replace(version=6))).granted == 1  # IPv6 has a warm-up of its own
    assert (await bench.ask(1, key=KEY._replace(domain="other.example"))).granted == 1
    assert (await bench.ask(1, key=KEY._replace(source="ip2"))).granted == 1
    views = await bench.book.views()
    assert {(one.key.source, one.used) for one in views} == {("ip1", 1), ("ip2", 1)}
    assert len(views) == 4


async def test_a_ceiling_holds_all_day_and_what_was_not_used_comes_back(bench: Bench) -> None:
    first = await bench.ask(1)
    await bench.book.give_back([Unused(first.row, first.day, 1)])
    assert (await bench.book.views())[0].used == 0
    assert await bench.use_all() == 6
    assert (await bench.ask(1, promised=True)).day == first.day + 1
    await bench.book.give_back([Unused(first.row, first.day, 1)])  # of yesterday: too late
    assert (await bench.book.views())[0].used == 1


async def test_a_good_day_raises_the_ceiling_a_bad_one_lowers_it(bench: Bench) -> None:
    row = (await bench.ask(1)).row
    await bench.use_all()
    bench.clock.move(-HOURS)
    for _ in range(5):
        await bench.attempted(row, Result.DELIVERED)
    await bench.attempted(row, Result.TEMPORARY, GREY)  # greylisting is no refusal of us
    await bench.learn()
    bench.clock.move(HOURS)
    await bench.ask(1)
    (view,) = await bench.book.views()
    assert (view.step, view.mark) == (2, Mark.GOOD)
    assert view.why == "6 of 6 left, 0 deferred, 0 bounced, 0 complaints"
    for _ in range(3):
        await bench.attempted(row, Result.TEMPORARY, SLOW)
    await bench.attempted(row, Result.PERMANENT)
    await bench.learn()
    assert (await bench.book.views())[0].today == Results(deferred=3, bounced=1)
    bench.clock.move(24 * HOURS)
    await bench.ask(1)
    (view,) = await bench.book.views()
    assert (view.step, view.mark, view.why) == (1, Mark.BAD, "3 of 4 were deferred, 5.0% is the limit")


async def test_a_new_date_begins_anew_and_old_ones_are_forgotten(bench: Bench) -> None:
    row = (await bench.ask(1)).row
    for _ in range(3):
        await bench.attempted(row, Result.DELIVERED)
    await bench.learn()
    await bench.use_all()
    await bench.ask(1)
    assert (await bench.book.views())[0].step == 2
    await bench.ask(1, begins=2)
    assert (await bench.book.views())[0].step == 1
    bench.clock.jump(61 * 24 * HOURS)
    await bench.book.forget()
    assert await bench.book.views() == []


async def test_a_delivery_remembers_its_source_and_its_promise(bench: Bench) -> None:
    await bench.attempted(7, Result.TEMPORARY, GREY)
    me = await bench.spool.register("node", 0)
    bench.clock.move(4 * 24 * HOURS)
    (parcel,) = await bench.spool.claim(me, 10)
    (duty,) = parcel.duties
    assert (duty.source, duty.warmth) == ("ip1", Warmth(7))
    promised = bench.clock.now() + timedelta(hours=2)
    waits = Settlement(duty.seq, duty.n, State.WAITING, promised, warmth=Warmth(8, promised))
    assert await bench.spool.settle(me, [waits]) == 1
    view = await bench.spool.message(parcel.id)
    assert view is not None
    assert view.deliveries[0].warmth == Warmth(8, promised)
    bench.clock.move(2 * HOURS)
    (parcel,) = await bench.spool.claim(me, 10)
    assert (parcel.duties[0].source, parcel.duties[0].warmth) == ("ip1", Warmth(8, promised))
    given_back = Settlement(duty.seq, duty.n, State.WAITING, promised)
    assert await bench.spool.settle(me, [given_back]) == 1
    (parcel,) = await bench.spool.claim(me, 10)
    assert parcel.duties[0].warmth == Warmth(8, promised)
