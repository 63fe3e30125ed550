"""A PostgreSQL primary with a synchronous standby, whose roles change with every fail-over.

It does what an operator does (docs/postgresql.md, "The drill"): stop or lose the primary, promote the standby, build
the lost one anew as a standby of the new primary, and wait for it again.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import asyncpg

from tests.support.postgres_server import PostgresServer

NAMES = ("one", "two")
READY_SECONDS = 30


@dataclass
class PostgresPair:
    """Two servers; `async with` starts them with the second following the first, and removes them."""

    primary: PostgresServer
    standby: PostgresServer

    @classmethod
    def make(cls, **settings: str) -> PostgresPair:
        """A pair that is not yet started. Raises FileNotFoundError without binaries."""
        return cls(PostgresServer.make(**settings), PostgresServer.make(**settings))

    def url(self, database: str) -> str:
        """Names both, in an order that stays: the nodes find out which one takes writes."""
        ports = sorted((self.primary.port, self.standby.port))
        return f"postgresql://leak@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/{database}"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.primary.start)
        await self.follow()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.primary.stop()
        self.standby.stop()

    async def create(self) -> str:
        """A new, empty database; its URL."""
        return self.url((await self.primary.create()).rpartition("/")[2])

    async def follow(self) -> None:
        """Build the standby anew from the primary, and have every commit wait for it from now on."""
        name = NAMES[self.standby.port > self.primary.port]
        shutil.rmtree(self.standby.data, ignore_errors=True)
        await asyncio.to_thread(self.standby.copy, self.primary, name)
        await asyncio.to_thread(self.standby.start)
        await self.tell_primary(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        async with asyncio.timeout(READY_SECONDS):
            while await self.ask_primary("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'") != 1:
                await asyncio.sleep(0.05)

    async def lose_primary(self, *, kill: bool) -> None:
        """End the primary, in good order or as a crash; the standby is now called primary, and takes no writes yet."""
        await asyncio.to_thread(self.primary.kill if kill else self.primary.shut_down)
        self.primary, self.standby = self.standby, self.primary

    async def promote(self) -> None:
        """Make the one that is called primary take writes."""
        await asyncio.to_thread(self.primary.run, "pg_ctl", "promote", "-D", str(self.primary.data), "-w")

    async def tell_primary(self, sql: str) -> None:
        """Run a statement and have the server read its settings again."""
        connection = await asyncpg.connect(self.primary.url())
        try:
            await connection.execute("SET synchronous_commit = local")
            await connection.execute(sql)
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    async def ask_primary(self, sql: str) -> Any:
        """The first value of a query."""
        connection = await asyncpg.connect(self.primary.url())
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()
