"""The stream of events on both databases: every event once, in the order of the commits, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.database.postgres import PostgresDatabase, Transaction
from relay.event import EventKind
from relay.event.feed import BEGINNING, EventFilter, FeedEvent, Position, parse_cursor
from relay.ids import SpoolId
from relay.policy.state import State
from relay.spool import feed
from relay.spool.work import Settlement
from tests.support.feed_bench import FeedBench, feed_bench
from tests.support.postgres_server import PostgresServer


@pytest.fixture(params=["sqlite", "postgres"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FeedBench]:
    url = "" if request.param == "sqlite" else await request.getfixturevalue("postgres_server").create()
    async with feed_bench(tmp_path, url, processes=3) as running:
        yield running


async def test_an_event_comes_with_what_it_belongs_to(bench: FeedBench) -> None:
    receipt = await bench.accept("bob@b.example", stream="news", tags=("spring",), metadata={"order": "7"})
    me = await bench.spool.register("node", 0)
    (parcel,) = await bench.spool.claim(me, 10)
    settlement = Settlement(parcel.seq, 0, State.BOUNCED, event=EventKind.BOUNCED, detail={"reason": "asked"})
    assert await bench.spool.settle(me, [settlement]) == 1
    (accepted, bounced), end = await bench.follow()
    assert (accepted.kind, accepted.message, accepted.n, accepted.address) == (
        EventKind.ACCEPTED,
        receipt.id,
        None,
        None,
    )
    assert (bounced.kind, bounced.n, bounced.address, bounced.sender) == (
        EventKind.BOUNCED,
        0,
        "bob@b.example",
        "ann@sender.example",
    )
    assert (bounced.stream, bounced.tags, bounced.metadata, bounced.detail) == (
        "news",
        ("spring",),
        {"order": "7"},
        {"reason": "asked"},
    )
    assert end == bounced.position == await bench.spool.last_event() == parse_cursor(str(end))
    assert await bench.spool.events_named([bounced.position.seq, 10**9], 1) == [bounced]
    assert await bench.spool.events_named([bounced.position.seq], 2) == []


async def test_an_erased_address_is_told_to_nobody(bench: FeedBench) -> None:
    await bench.accept("bob@b.example", initial={0: State.SUPPRESSED})
    await bench.databases[0].write(lambda connection: connection.execute("DELETE FROM recipient"))
    events, _ = await bench.follow()
    assert [(one.kind, one.n, one.address) for one in events] == [
        (EventKind.ACCEPTED, None, None),
        (EventKind.SUPPRESSED, 0, None),
    ]


async def test_a_page_is_bounded_and_of_one_tenant(bench: FeedBench, monkeypatch: pytest.MonkeyPatch) -> None:
    # S49; and whoever has few events among many of others gets on all the same, in bounded steps
    monkeypatch.setattr(feed, "WINDOW", 4)
    mine: list[SpoolId] = []
    for number in range(20):
        tenant = 2 if number in {3, 17} else 1
        receipt = await bench.accept("a@b.example", tenant=tenant)
        if tenant == 2:
            mine.append(receipt.id)
    page = await bench.spool.events(EventFilter(BEGINNING, 2, tenant=2))
    assert ([one.message for one in page.events], page.more) == (mine[:1], True)
    page = await bench.spool.events(EventFilter(page.cursor, 2, tenant=2))
    assert (page.events, page.more) == ((), True)
    events, end = await bench.follow(tenant=2, limit=2)
    assert [one.message for one in events] == mine
    assert end == await bench.spool.last_event()
    assert await bench.follow(end, tenant=2) == ([], end)
    assert (await bench.follow(tenant=2, kinds=frozenset({EventKind.BOUNCED})))[0] == []


async def test_who_follows_while_many_write_sees_every_event_once(bench: FeedBench) -> None:
    accepted: set[SpoolId] = set()
    writing = True

    async def write(spool: int) -> None:
        for _ in range(25):
            accepted.add((await bench.accept("a@b.example", spool=spool)).id)

    async def read() -> list[FeedEvent]:
        found: list[FeedEvent] = []
        after = BEGINNING
        while True:
            last_look = not writing
            events, after = await bench.follow(after)
            found += events
            if last_look:
                return found
            await asyncio.sleep(0)

    reading = asyncio.create_task(read())
    await asyncio.gather(*(write(spool) for spool in (0, 1, 2) for _ in range(2)))
    writing = False
    seen = await reading
    assert len(seen) == len(accepted) == 150
    assert {one.message for one in seen} == accepted
    assert [one.position for one in seen] == sorted(one.position for one in seen)


async def test_a_commit_that_comes_late_is_not_skipped(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """A writer that drew its number first and commits last: nobody goes past it before its fate is known."""
    async with feed_bench(tmp_path, await postgres_server.create()) as bench:
        first = await bench.accept("a@b.example")
        drawn, commit = asyncio.Event(), asyncio.Event()

        async def slow(transaction: Transaction) -> None:
            sql = "INSERT INTO event (at, message, n, kind) VALUES (0, $1, 0, $2)"
            await transaction.execute(sql, first.seq, int(EventKind.COMPLAINED))
            drawn.set()
            await commit.wait()

        assert isinstance(bench.database, PostgresDatabase)
        late = asyncio.create_task(bench.database.transact(slow))
        await drawn.wait()
        second = await bench.accept("a@b.example")
        before, cursor = await bench.follow()
        assert [one.message for one in before] == [first.id]
        commit.set()
        await late
        after, _ = await bench.follow(cursor)
        assert [(one.kind, one.message) for one in after] == [
            (EventKind.COMPLAINED, first.id),
            (EventKind.ACCEPTED, second.id),
        ]


async def test_events_dumped_from_another_server_are_told_on(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """Their transactions have numbers that this server has yet to come to; cursors given there go on here."""
    async with feed_bench(tmp_path, await postgres_server.create()) as bench:
        ids = [(await bench.accept("a@b.example")).id for _ in range(4)]
        far = "UPDATE event SET tx = CAST(CAST(seq + 900000000000 AS TEXT) AS xid8)"
        await bench.database.write(lambda connection: connection.execute(far))
        there = Position(900000000002, 2)
        assert await bench.follow() == ([], BEGINNING)
        await bench.spool.migrate()
        ids.append((await bench.accept("a@b.example")).id)
        assert [one.message for one in (await bench.follow())[0]] == ids
        events, end = await bench.follow(there)
        assert [one.message for one in events] == ids[2:]
        assert await bench.follow(end) == ([], end)


@pytest.mark.parametrize("text", ["", "1", "-", "0-", "g-1", "0-1-2", "0x1-1", "0-1\n", "0-" + "f" * 16, "٣-1"])
def test_only_our_own_cursors_are_taken(text: str) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        parse_cursor(text)
