"""A spool that several processes have open, on either database, with messages to make events of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from relay.account.book import AccountBook
from relay.clock import to_millis
from relay.database.contract import Database
from relay.database.postgres import PostgresDatabase
from relay.database.sqlite import SqliteDatabase
from relay.event.feed import BEGINNING, EventFilter, FeedEvent, Position
from relay.ids import SeededEntropy, SystemEntropy, new_spool_id
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.spool.contract import Spool
from relay.spool.postgres import PostgresSpool
from relay.spool.sqlite import SqliteSpool
from relay.spool.work import Door, NewMessage, Receipt


class ShiftedClock:
    """The real time, moved forward as told: signatures are judged by the real one."""

    def __init__(self) -> None:
        self.shift = timedelta()
        self.jumped = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def monotonic(self) -> float:
        return (self.now() - self.jumped).timestamp()

    def forward(self, **span: float) -> None:
        self.shift += timedelta(**span)

    def jump(self, **span: float) -> None:
        """Let the wall clock alone say another time."""
        self.forward(**span)
        self.jumped += timedelta(**span)


@dataclass
class FeedBench:
    """The spool, as `spools` of several processes."""

    spools: list[Spool]
    databases: list[Database]
    entropy: SeededEntropy
    clock: ShiftedClock

    @property
    def spool(self) -> Spool:
        return self.spools[0]

    @property
    def database(self) -> Database:
        return self.databases[0]

    async def accept(self, *recipients: str, spool: int = 0, **fields: Any) -> Receipt:
        now = self.clock.now()
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
        limit = filters.pop("limit", 7)
        while True:
            page = await self.spool.events(EventFilter(after, limit, **filters))
            found += page.events
            after = page.cursor
            if not page.more:
                return found, after


@asynccontextmanager
async def feed_bench(folder: Path, url: str = "", processes: int = 1) -> AsyncIterator[FeedBench]:
    """A bench on SQLite in `folder`, or on PostgreSQL at `url`; the tenants one and two have the numbers 1 and 2."""
    databases: list[Database] = []
    spools: list[Spool] = []
    clock = ShiftedClock()
    for _ in range(processes):
        if url:
            postgres = await PostgresDatabase.open(url)
            databases.append(postgres)
            spools.append(PostgresSpool(postgres, clock))
        else:
            sqlite = await SqliteDatabase.open(folder / "spool.db")
            databases.append(sqlite)
            spools.append(SqliteSpool(sqlite, clock))
    accounts = AccountBook(databases[0], clock, SystemEntropy())
    await accounts.migrate()
    assert [await accounts.ensure_tenant(name) for name in ("one", "two")] == [1, 2]
    await spools[0].migrate()
    try:
        yield FeedBench(spools, databases, SeededEntropy(1), clock)
    finally:
        await accounts.close()
        for spool in spools:
            await spool.close()
