"""The stream of events on both databases: every event once, in the order of the commits, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.account.book import AccountBook
from relay.clock import SystemClock, to_millis
from relay.database.contract import Database
from relay.database.postgres import PostgresDatabase, Transaction
from relay.database.sqlite import SqliteDatabase
from relay.event import EventKind
from relay.event.feed import BEGINNING, EventFilter, FeedEvent, Position, parse_cursor
from relay.ids import SeededEntropy, SpoolId, SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.state import State
from relay.spool import feed
from relay.spool.contract import Door, NewMessage, Receipt, Settlement, Spool
from relay.spool.postgres import PostgresSpool
from relay.spool.sqlite import SqliteSpool
from tests.support.postgres_server import PostgresServer

CLOCK = SystemClock()


@dataclass
class Bench:
    """A spool under test, as several processes have it open."""

    spools: list[Spool]
    databases: list[Database]
    entropy: SeededEntropy

    @property
    def spool(self) -> Spool:
        return self.spools[0]

    async def accept(self, *recipients: str, spool: int = 0, **fields: Any) -> Receipt:
        now = CLOCK.now()
        defaults: dict[str, Any] = {
            "id": new_spool_id(to_millis(now), self.entropy),
            "tenant": 1,
            "credential": None,
            "door": Door.SMTP,
            "envelope": Envelope(
                parse_address("ann@sender.example"), tuple(Recipient(parse_address(one)) for one in recipients)
            ),
            "content": b"Subject: x\r\n\r\nbody\r\n",
            "prelude": b"",
            "accepted_at": now,
            "expires_at": now + timedelta(days=5),
            "due": now,
        }
        return await self.spools[spool].accept(NewMessage(**{**defaults, **fields}))

    async def follow(self, after: Position = BEGINNING, **filters: Any) -> tuple[list[FeedEvent], Position]:
        """Everything there is after a position, and where it ends."""
        found: list[FeedEvent] = []
        while True:
            page = await self.spool.events(EventFilter(after, filters.pop("limit", 7), **filters))
            found += page.events
            after = page.cursor
            if not page.more:
                return found, after


@pytest.fixture(params=["sqlite", "postgres"])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    databases: list[Database] = []
    spools: list[Spool] = []
    url = "" if request.param == "sqlite" else await request.getfixturevalue("postgres_server").create()
    for _ in range(3):
        if request.param == "sqlite":
            sqlite = await SqliteDatabase.open(tmp_path / "spool.db")
            databases.append(sqlite)
            spools.append(SqliteSpool(sqlite, CLOCK))
        else:
            postgres = await PostgresDatabase.open(url)
            databases.append(postgres)
            spools.append(PostgresSpool(postgres, CLOCK))
    accounts = AccountBook(databases[0], CLOCK, SystemEntropy())
    await accounts.migrate()
    assert [await accounts.ensure_tenant(name) for name in ("one", "two")] == [1, 2]
    await spools[0].migrate()
    yield Bench(spools, databases, SeededEntropy(1))
    await accounts.close()
    for spool in spools:
        await spool.close()


async def test_an_event_comes_with_what_it_belongs_to(bench: Bench) -> None:
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


async def test_an_erased_address_is_told_to_nobody(bench: Bench) -> None:
    await bench.accept("bob@b.example", initial={0: State.SUPPRESSED})
    await bench.databases[0].write(lambda connection: connection.execute("DELETE FROM recipient"))
    events, _ = await bench.follow()
    assert [(one.kind, one.n, one.address) for one in events] == [
        (EventKind.ACCEPTED, None, None),
        (EventKind.SUPPRESSED, 0, None),
    ]


async def test_a_page_is_bounded_and_of_one_tenant(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_who_follows_while_many_write_sees_every_event_once(bench: Bench) -> None:
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


async def test_a_commit_that_comes_late_is_not_skipped(postgres_server: PostgresServer) -> None:
    """A writer that drew its number first and commits last: nobody goes past it before its fate is known."""
    database = await PostgresDatabase.open(await postgres_server.create())
    spool = PostgresSpool(database, CLOCK)
    accounts = AccountBook(database, CLOCK, SystemEntropy())
    await accounts.migrate()
    await accounts.ensure_tenant("one")
    await spool.migrate()
    bench = Bench([spool], [database], SeededEntropy(1))
    first = await bench.accept("a@b.example")
    drawn, commit = asyncio.Event(), asyncio.Event()

    async def slow(transaction: Transaction) -> None:
        sql = "INSERT INTO event (at, message, n, kind) VALUES (0, $1, 0, $2)"
        await transaction.execute(sql, first.seq, int(EventKind.COMPLAINED))
        drawn.set()
        await commit.wait()

    late = asyncio.create_task(database.transact(slow))
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
    await accounts.close()
    await spool.close()


@pytest.mark.parametrize("text", ["", "1", "-", "0-", "g-1", "0-1-2", "0x1-1", "0-1\n", "0-" + "f" * 16, "٣-1"])
def test_only_our_own_cursors_are_taken(text: str) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        parse_cursor(text)
