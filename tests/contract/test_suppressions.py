"""The book of standing refusals, on every database: what is written is found, in this process and in others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from relay.account.book import AccountBook
from relay.database.contract import Database
from relay.database.sqlite import SqliteDatabase
from relay.database.statements import rows_of
from relay.ids import SystemEntropy
from relay.mail.address import Address, parse_address
from relay.policy.suppress import Reason, SuppressionRules
from relay.suppression.book import SuppressionBook
from relay.suppression.carrying import SAID, carried
from relay.suppression.contract import NewSuppression, Which
from tests.support.either_database import BOTH, open_database
from tests.support.hand_clock import HandClock
from tests.support.suppressions import book_on

ANN = parse_address("ann@b.example")
BOB = parse_address("bob@b.example")
RULES = SuppressionRules(soft_bounces=3, soft_span=timedelta(hours=1))


@dataclass
class Bench:
    database: Database
    clock: HandClock
    book: SuppressionBook

    async def stopped(
        self, address: Address, tenant: int = 1, stream: str = "", book: SuppressionBook | None = None
    ) -> str:
        found = await (book or self.book).find(tenant, stream, [address])
        return found[0].reason.value if found else ""


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    database = await open_database(request, tmp_path)
    clock = HandClock()
    accounts = AccountBook(database, clock, SystemEntropy())
    await accounts.migrate()
    assert [await accounts.ensure_tenant(name) for name in ("one", "two")] == [1, 2]
    book = book_on(database, clock, RULES)
    await book.migrate()
    await book.start()
    yield Bench(database, clock, book)
    await book.stop()
    await accounts.close()
    await database.close()


def entry(address: Address, reason: Reason = Reason.OPT_OUT, tenant: int = 1, **more: object) -> NewSuppression:
    return NewSuppression(tenant, address, reason, **more)  # type: ignore[arg-type]


async def test_who_wants_none_is_counted(bench: Bench) -> None:  # RCP 12
    carl = parse_address("carl@b.example")
    await bench.book.add([entry(ANN, stream="letters"), entry(ANN), entry(parse_address("Ann+x@b.example"))])
    await bench.book.add([entry(BOB, Reason.COMPLAINT), entry(carl, stream="weekly"), entry(carl, Reason.MANUAL)])
    await bench.book.add([entry(carl, Reason.HARD_BOUNCE), entry(carl, tenant=2)])
    assert await bench.book.unwilling(1, "letters") == 2
    assert await bench.book.unwilling(1, "weekly") == 3
    assert await bench.book.unwilling(2, "letters") == 1


async def test_a_refusal_stops_its_tenant_and_stream_and_nobody_else(bench: Bench) -> None:  # N06, S49
    assert await bench.stopped(ANN) == ""
    assert await bench.book.add([entry(ANN, stream="news"), entry(BOB, Reason.MANUAL, tenant=0)]) == 2
    assert await bench.stopped(ANN, stream="news") == "opt-out"
    assert await bench.stopped(parse_address("ANN+x@b.example"), stream="news") == "opt-out"
    assert await bench.stopped(ANN, stream="letters") == ""
    assert await bench.stopped(ANN, tenant=2, stream="news") == ""
    assert [await bench.stopped(BOB, tenant=tenant) for tenant in (1, 2)] == ["manual", "manual"]
    assert await bench.book.add([entry(ANN, stream="news")]) == 0


async def test_what_a_host_said_is_about_the_address_alone_and_ends(bench: Bench) -> None:
    await bench.book.add([entry(ANN, Reason.HARD_BOUNCE)])
    assert await bench.stopped(ANN) == "hard-bounce"
    assert await bench.stopped(parse_address("ann+x@b.example")) == ""
    bench.clock.move(91 * 86400)
    assert await bench.stopped(ANN) == ""
    assert await bench.book.add([entry(ANN, Reason.HARD_BOUNCE)]) == 1
    bench.clock.move(170 * 86400)
    assert await bench.stopped(ANN) == "hard-bounce"  # the second time it holds twice as long
    assert await bench.book.add([entry(ANN, Reason.HARD_BOUNCE)]) == 0
    (row,) = await bench.book.show(Which())
    assert row.times == 2  # mail that was under way proves nothing new


async def test_what_holds_for_good_is_not_shortened(bench: Bench) -> None:
    await bench.book.add([entry(ANN, Reason.MANUAL)])
    await bench.book.add([entry(ANN, Reason.MANUAL, until=bench.clock.now() + timedelta(days=1))])
    bench.clock.move(2 * 86400)
    assert await bench.stopped(ANN) == "manual"


async def test_an_allowed_address_is_free_of_bounces_and_not_of_its_own_no(bench: Bench) -> None:
    await bench.book.add([entry(ANN, Reason.HARD_BOUNCE), entry(ANN, Reason.ALLOWED)])
    assert await bench.stopped(ANN) == ""
    await bench.book.add([entry(ANN, Reason.HARD_BOUNCE)])
    assert await bench.stopped(ANN) == ""
    await bench.book.add([entry(ANN)])
    assert await bench.stopped(ANN) == "opt-out"


async def test_erasing_an_address_keeps_its_refusal(bench: Bench) -> None:
    await bench.book.add([entry(ANN), entry(BOB)])
    assert await bench.book.erase(Which(address=ANN)) == 1
    rows = await bench.book.show(Which())
    assert [row.address for row in rows] == [None, "bob@b.example"]
    assert await bench.stopped(ANN) == "opt-out"
    stored = await bench.database.read(lambda connection: str(list(connection.execute("SELECT * FROM suppression"))))
    assert "ann" not in stored


async def test_a_recipient_s_own_no_is_not_taken_back_by_the_way(bench: Bench) -> None:
    await bench.book.add([entry(ANN), entry(ANN, Reason.HARD_BOUNCE), entry(BOB, tenant=2)])
    assert await bench.book.remove(Which(tenant=1, address=ANN)) == 1
    assert await bench.stopped(ANN) == "opt-out"
    assert await bench.book.remove(Which(tenant=1, address=ANN, reason=Reason.OPT_OUT), spare_the_recipients=False) == 1
    assert await bench.stopped(ANN) == ""
    assert await bench.book.remove(Which(tenant=1, address=BOB), spare_the_recipients=False) == 0


async def test_other_processes_hear_of_it(bench: Bench) -> None:
    other = book_on(bench.database, bench.clock)
    await other.start()
    try:
        before = other.changes.number
        assert other.surely_free(ANN)
        await bench.book.add([entry(ANN)])
        await other.catch_up()
        assert not other.surely_free(ANN)
        assert await bench.stopped(ANN, book=other) == "opt-out"
        assert other.changes.touched(before, {bench.book.hasher.of_mailbox(ANN)})
    finally:
        await other.stop()
    late = book_on(bench.database, bench.clock)
    assert await bench.stopped(ANN, book=late) == "opt-out"  # not started: every question goes to the database
    await late.start()
    assert not late.surely_free(ANN)
    await late.stop()


async def test_pages(bench: Bench) -> None:
    people = [parse_address(f"u{n}@b.example") for n in range(25)]
    await bench.book.add([entry(address) for address in people])
    found: list[str | None] = []
    after = 0
    while page := await bench.book.show(Which(tenant=1, after=after, limit=10)):
        found += [row.address for row in page]
        after = page[-1].id
    assert found == [str(address) for address in people]


async def test_soft_bounces_are_counted_and_forgiven(bench: Bench) -> None:
    rows, clock = bench.book.rows, bench.clock

    async def fails() -> bool:
        clock.move(3600)
        new = entry(ANN, Reason.SOFT_BOUNCE)
        return await bench.database.write(lambda c: rows.strike(c, new, clock.now(), clock.now()))

    assert [await fails(), await fails()] == [False, False]
    delivered = [(1, bench.book.hasher.of_address(ANN))]
    assert await bench.database.read(rows.counts_any)
    await bench.database.write(lambda c: rows.forgive(c, delivered))
    assert not await bench.database.read(rows.counts_any)
    assert [await fails(), await fails(), await fails()] == [False, False, True]
    bench.book.learnt(delivered[0][1:])
    assert await bench.stopped(ANN) == "soft-bounce"


async def test_what_is_long_over_is_deleted_and_what_people_said_never(bench: Bench) -> None:
    people = [parse_address(f"u{n}@b.example") for n in range(600)]
    await bench.book.add([entry(address, Reason.HARD_BOUNCE) for address in people])
    await bench.book.add([entry(ANN), entry(BOB, Reason.MANUAL, until=bench.clock.now() + timedelta(days=1))])
    strike = entry(parse_address("carl@b.example"), Reason.SOFT_BOUNCE)
    now = bench.clock.now()
    await bench.database.write(lambda c: bench.book.rows.strike(c, strike, now, now))
    assert await bench.book.purge(500) == 0
    bench.clock.move(3 * 86400)  # the manual one is over, and then for as long as it held
    assert await bench.book.purge(500) == 1
    bench.clock.move(RULES.hard_bounce.total_seconds())
    assert await bench.stopped(people[0]) == ""
    assert await bench.book.purge(500) == 1, "the counted soft bounce; what held lately would hold twice as long"
    bench.clock.move(RULES.hard_bounce.total_seconds())
    assert [await bench.book.purge(500) for _ in range(3)] == [500, 100, 0]
    assert [row.reason for row in await bench.book.show(Which())] == [Reason.OPT_OUT]
    assert not await bench.database.read(bench.book.rows.counts_any)


async def test_what_a_clock_ahead_wrote_holds_no_longer_than_the_rest(bench: Bench) -> None:
    rows, ahead = bench.book.rows, 3 * 365 * 86400.0
    carl = parse_address("carl@b.example")

    async def fails() -> bool:
        bench.clock.move(3600)
        now = bench.clock.now()
        return await bench.database.write(lambda c: rows.strike(c, entry(carl, Reason.SOFT_BOUNCE), now, now))

    bench.clock.jump(ahead)
    await bench.book.add([entry(ANN, Reason.HARD_BOUNCE), entry(BOB)])
    assert not await fails()
    bench.clock.jump(-ahead)
    before = await bench.book.show(Which())
    assert await bench.book.bring_back() == 1
    assert await bench.book.bring_back() == 0
    assert [await bench.stopped(one) for one in (ANN, BOB)] == ["hard-bounce", "opt-out"]
    after = await bench.book.show(Which())
    assert [one for one in after if one.reason is Reason.OPT_OUT] == [
        one for one in before if one.reason is Reason.OPT_OUT
    ]
    bench.clock.move(RULES.hard_bounce.total_seconds() + 1)
    assert [await bench.stopped(one) for one in (ANN, BOB)] == ["", "opt-out"]
    for _ in range(3):
        await bench.book.purge(500)
        bench.clock.move(RULES.soft_memory.total_seconds())
    assert not await bench.database.read(rows.counts_any)


async def test_a_soft_bounce_of_a_clock_ahead_spans_no_days(bench: Bench) -> None:
    rows, span = bench.book.rows, 3 * 365 * 86400.0

    async def fails() -> bool:
        now = bench.clock.now()
        return await bench.database.write(lambda c: rows.strike(c, entry(ANN, Reason.SOFT_BOUNCE), now, now))

    bench.clock.jump(span)
    assert not await fails()
    bench.clock.jump(-span)
    assert [await fails() for _ in range(5)] == [False] * 5, "all in one moment"


async def test_a_refusal_is_heard_of_right_after_another_was_deleted(bench: Bench) -> None:
    await bench.book.add([entry(ANN)])
    other = book_on(bench.database, bench.clock)
    await other.start()
    try:
        await other.catch_up()
        await bench.book.remove(Which(address=ANN), spare_the_recipients=False)
        await bench.book.add([entry(BOB)])
        await other.catch_up()
        assert not other.surely_free(BOB)
    finally:
        await other.stop()


async def test_what_another_state_refused_is_taken_over(bench: Bench, tmp_path: Path) -> None:  # R11, RCP 1
    later = await SqliteDatabase.open(tmp_path / "later.db")
    accounts, book = AccountBook(later, bench.clock, SystemEntropy()), book_on(later, bench.clock, RULES)
    await accounts.migrate()
    await book.migrate()
    await book.add([entry(ANN, address_kept=False), entry(BOB, Reason.HARD_BOUNCE), entry(BOB, Reason.MANUAL)])
    rows = [carried(row) for row in await rows_of(later, SAID, (-1,))]
    await accounts.close()
    await later.close()
    assert [await bench.book.take_over(rows) for _ in range(2)] == [2, 0]
    assert (await bench.stopped(ANN), await bench.stopped(BOB)) == ("opt-out", "manual")
    assert [(row.address, row.reason) for row in await bench.book.show(Which())] == [
        (None, Reason.OPT_OUT),
        (str(BOB), Reason.MANUAL),
    ]
