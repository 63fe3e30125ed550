"""What the operator's pages read of the spool, on every database: the queue's shape, and what happened lately."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from relay.database.contract import Connection
from relay.database.postgres import PostgresDatabase
from relay.database.postgres_bridge import numbered
from relay.event import EventKind
from relay.mail.address import NULL_PATH, parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.outcome import Result
from relay.policy.state import State
from relay.spool import shape as shape_module
from relay.spool.inquiry import QueueFilter
from relay.spool.lately import LOOKED_AT, lately
from relay.spool.orders import Verb
from relay.spool.shape import AGES, next_of_domain, queue_shape
from relay.spool.work import Settlement
from tests.contract.test_spool import Bench, attempt, bench

__all__ = ["bench"]

YOUNGEST, HOUR, HOURS, DAY, DAYS, OLDER = range(len(AGES) + 1)


async def test_the_queue_has_its_shape_by_lane_and_age(bench: Bench) -> None:
    await bench.accept("a@b.example", "b@b.example")
    await bench.spool.note_site(1, "b.example", "mx.b.example")
    first = bench.clock.now()
    bench.clock.forward(days=4)
    later = bench.clock.now() + timedelta(hours=2)
    await bench.accept("c@b.example", due=later)
    await bench.accept("d@c.example", tenant=2, due=later)
    bench.clock.forward(minutes=30)
    await bench.accept("e@b.example", due=later)
    leased = await bench.accept("g@d.example", lease_to=bench.me)
    await bench.spool.ask(Verb.HOLD, QueueFilter(domain="c.example"), "why not", timedelta())
    found = {(one.tenant, one.domain): one for one in await queue_shape(bench.database, bench.clock.now())}
    b, c, d = (found[name] for name in (("one", "b.example"), ("two", "c.example"), ("one", "d.example")))
    assert (b.waiting, b.leased, b.held, b.unfinished, b.site) == (4, 0, 0, 4, "mx.b.example")
    assert b.ages == (1, 1, 0, 0, 0, 2)
    assert (b.oldest, b.next_due) == (first, first)
    assert (c.waiting, c.held, c.ages[HOUR], c.next_due) == (0, 1, 1, None)
    assert (d.leased, d.ages[YOUNGEST], sum(d.ages)) == (1, 1, 1)
    lanes = {(one.tenant, one.domain): one for one in await bench.spool.lanes()}
    assert lanes.keys() == found.keys()
    for name, lane in lanes.items():
        shown = found[name]
        assert (lane.waiting, lane.leased, lane.held, lane.oldest, lane.site) == (
            shown.waiting, shown.leased, shown.held, shown.oldest, shown.site,
        )  # fmt: skip
    done = Settlement(leased.seq, 0, State.DELIVERED, event=EventKind.DELIVERED, attempt=attempt(Result.DELIVERED))
    await bench.spool.settle(bench.me, [done])
    assert len(await queue_shape(bench.database, bench.clock.now())) == 2


async def test_an_empty_queue_has_no_shape(bench: Bench) -> None:
    assert await queue_shape(bench.database, bench.clock.now()) == []


async def test_what_of_a_domain_comes_next(bench: Bench) -> None:
    now = bench.clock.now()
    for number in (3, 1, 2):
        await bench.accept(f"a{number}@b.example", due=now + timedelta(minutes=number), tenant=1 + number % 2)
    await bench.accept("x@c.example")
    found = await next_of_domain(bench.database, "b.example", State.WAITING, 2)
    assert [one.recipient for one in found] == ["a1@b.example", "a2@b.example"]
    assert await next_of_domain(bench.database, "b.example", State.HELD, 2) == []
    await bench.spool.ask(Verb.HOLD, QueueFilter(recipient="a2@b.example"), "why not", timedelta())
    found = await next_of_domain(bench.database, "b.example", State.WAITING, 9)
    assert [one.recipient for one in found] == ["a1@b.example", "a3@b.example"]
    (held,) = await next_of_domain(bench.database, "b.example", State.HELD, 9)
    assert (held.recipient, held.state) == ("a2@b.example", State.HELD)


async def settle_after(bench: Bench, seconds: float, kind: EventKind, code: int, words: str, **accepted: Any) -> None:
    """A message that came, and was settled so many seconds after."""
    await bench.accept(*(() if "envelope" in accepted else ("a@b.example",)), **accepted)
    bench.clock.forward(seconds=seconds)
    (parcel,) = await bench.claim()
    result = {EventKind.DELIVERED: Result.DELIVERED, EventKind.BOUNCED: Result.PERMANENT}[kind]
    state = {EventKind.DELIVERED: State.DELIVERED, EventKind.BOUNCED: State.BOUNCED}[kind]
    settlement = Settlement(parcel.seq, 0, state, event=kind, attempt=attempt(result, code, words))
    assert await bench.spool.settle(bench.me, [settlement]) == 1


async def test_what_happened_lately(bench: Bench) -> None:
    assert (await lately(bench.database)).quantile(0.5) is None
    began = bench.clock.now()
    for seconds in (1, 2, 3, 40):
        await settle_after(bench, seconds, EventKind.DELIVERED, 250, "2.0.0 ok")
    wish = bench.clock.now() + timedelta(hours=1)
    await settle_after(bench, 3605, EventKind.DELIVERED, 250, "2.0.0 ok", scheduled=True, due=wish)
    report = Envelope(NULL_PATH, (Recipient(parse_address("a@b.example")),))
    await settle_after(bench, 7, EventKind.DELIVERED, 250, "2.0.0 ok", envelope=report)
    await settle_after(bench, 1, EventKind.BOUNCED, 550, "5.1.1 no such user q1A7")
    await settle_after(bench, 1, EventKind.BOUNCED, 550, "5.1.1 no such user q2B9")
    found = await lately(bench.database)
    assert [span.total_seconds() for span in found.took] == [1, 2, 3, 5, 40]
    assert (found.quantile(0.5), found.quantile(0.95)) == (timedelta(seconds=3), timedelta(seconds=40))
    assert found.reach == began
    newest, older = found.failures
    assert (newest.kind, newest.host, newest.source, newest.decided_by) == (
        EventKind.BOUNCED, "mx.example", "ip1", "remote",
    )  # fmt: skip
    assert (newest.reply, newest.code) == ("550 5.1.1 no such user q2B9", "550 5.1.1")
    assert newest.kin == older.kin == "550 5.1.1 no such user …"
    assert newest.at > older.at


async def test_only_the_newest_events_are_looked_at(bench: Bench) -> None:
    for seconds in (1, 2):
        await settle_after(bench, seconds, EventKind.DELIVERED, 250, "2.0.0 ok")
    assert len((await lately(bench.database)).took) == 2

    def move_on(connection: Connection) -> None:
        connection.execute("UPDATE event SET seq = seq + ? WHERE seq = 4", (LOOKED_AT,))

    await bench.database.write(move_on)
    assert [span.total_seconds() for span in (await lately(bench.database)).took] == [2]


FILL = 30_000


async def test_the_shape_is_counted_in_indexes_alone(bench: Bench) -> None:
    """A queue of a million is counted without a look at one row of it."""

    def fill(connection: Connection) -> None:
        connection.executemany(
            "INSERT INTO delivery (message, n, lane, state, initial, attempts, due) VALUES (?, 0, ?, 1, 1, 0, 5)",
            [(number, number % 100) for number in range(1, FILL)],
        )

    plan = "\n".join(await plans(bench, fill, shape_module.COUNTED, [1] * len(AGES) * 3))
    if isinstance(bench.database, PostgresDatabase):
        assert "Index Only Scan using delivery_waiting" in plan
        assert "Seq Scan" not in plan
    else:
        assert "USING COVERING INDEX delivery_waiting" in plan
        assert plan.count("USING COVERING INDEX") == 3


async def plans(bench: Bench, fill: Any, query: str, bindings: Sequence[Any]) -> list[str]:
    """How the database goes about a query, with rows to look at."""
    if not isinstance(bench.database, PostgresDatabase):
        await bench.database.write(fill)
        rows = await bench.database.read(lambda c: list(c.execute(f"EXPLAIN QUERY PLAN {query}", bindings)))
        return [str(row[3]) for row in rows]
    async with bench.database._link() as link:
        await link.connection.execute(
            "INSERT INTO delivery (message, n, lane, state, initial, attempts, due)"
            f" SELECT i, 0, i % 100, 1, 1, 0, 5 FROM generate_series(1, {FILL}) AS i"
        )
        await link.connection.execute("VACUUM ANALYZE delivery")
    rows = await bench.database.fetch(f"EXPLAIN {numbered(query)}", *bindings)
    return [str(row[0]) for row in rows]
