"""PostgreSQL, through asyncpg: transactions whose fate is always known, reads, migrations.

A commit may end without an answer: the connection breaks, the primary dies, a standby takes over. Every write
transaction therefore leaves a mark, the number of the transaction in its connection's row of `commit_mark`.
Whoever asks for that row afterwards waits for a transaction that is still under way, and then reads in it
whether it was committed (R24). Nobody is answered before that is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import asyncpg

from relay.database.aside import Aside
from relay.database.contract import Connection, Database
from relay.database.migrations import apply_migrations, read_migrations
from relay.database.postgres_bridge import Bridge
from relay.database.postgres_errors import certainly_not_committed, may_succeed_again, translate
from relay.database.postgres_pool import STATEMENT_SECONDS, Connector, Link, PostgresPool
from relay.database.postgres_room import TRIAL, Room
from relay.errors import SchemaError, SpoolFullError, SpoolUnavailableError
from relay.log import Log

_log = Log("database")

T = TypeVar("T")

CONNECTIONS: Final = 8
"""Connections a process opens at most, besides the one that listens."""

READERS: Final = 4
"""Of these, how many reads may use: the rest is kept for work that keeps the promise."""

COMMIT_SECONDS: Final = 15.0
"""How long a COMMIT may take before its fate is asked for on another connection."""

RESOLVE_SECONDS: Final = 60.0
"""How long the fate of a commit is asked for before its caller is told that it is unknown."""

LONG_SECONDS: Final = 600.0
"""How long a statement of a migration may take."""

RETRIES: Final = 6
"""How often a transaction that lost a race is run again."""

_MARK: Final = (
    "INSERT INTO commit_mark (slot, number, at) VALUES ({slot}, {number}, now())"
    " ON CONFLICT (slot) DO UPDATE SET number = excluded.number, at = excluded.at"
)

_ASK: Final = (
    "INSERT INTO commit_mark (slot, number, at) VALUES ($1, -1, now())"
    " ON CONFLICT (slot) DO UPDATE SET at = excluded.at RETURNING number"
)

_MARKS: Final = """
CREATE TABLE IF NOT EXISTS commit_mark (
  slot BIGINT PRIMARY KEY,
  number BIGINT NOT NULL,
  at TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 20)
"""

_LOOK: Final = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on;"
    " SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on; SET LOCAL plan_cache_mode = auto"
)
"""What people look at may read a table as a whole."""

_MIGRATION_LOCK: Final = 0x6C65616B
"""The advisory lock of those that change the schema."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction: statements with `$n` placeholders, each with a time limit in seconds."""

    connection: Any
    seconds: float = STATEMENT_SECONDS

    async def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement that gives rows; each can be read and unpacked like a tuple."""
        return cast("list[tuple[Any, ...]]", await self.connection.fetch(sql, *values, timeout=self.seconds))

    async def execute(self, sql: str, *values: Any) -> int:
        """Run a statement; the number of rows it changed, 0 where that has no meaning."""
        status = await self.connection.execute(sql, *values, timeout=self.seconds)
        number = status.rpartition(" ")[2]
        return int(number) if number.isdecimal() else 0


class _AsideReader:
    """A thread of its own, for units whose statements may take long."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._bridge = Bridge(1)

    async def run(self, work: Callable[[Connection], T]) -> T:
        return await self._database.read_over(self._bridge, work)

    async def close(self) -> None:
        self._bridge.close()


class PostgresDatabase:
    """One PostgreSQL database; open it with `PostgresDatabase.open`."""

    dialect: Final = "postgres"

    def __init__(self, url: str) -> None:
        self.connector = Connector(url)
        self._pool = PostgresPool(self.connector, CONNECTIONS)
        self._bridge = Bridge()
        self._reading = asyncio.Semaphore(READERS)
        self.room = Room(self._try_room)

    @classmethod
    async def open(cls, url: str) -> PostgresDatabase:
        """Connect to the writable host and judge the server.

        Raises ConfigurationError if it refuses us or could not keep the promise, SpoolUnavailableError if it is away.
        """
        database = cls(url)
        try:
            async with database._link() as link:
                await link.connection.execute(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
                await link.connection.execute(_MARKS)
                await link.connection.execute("DELETE FROM commit_mark WHERE at < now() - interval '1 day'")
                await link.connection.execute(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})")
        except BaseException:
            await database.close()
            raise
        return database

    @asynccontextmanager
    async def _link(self) -> AsyncIterator[Link]:
        """A connection; errors that blame the server come out as ours, and the connection is thrown away."""
        async with self._pool.link() as link:
            try:
                yield link
            except Exception as error:
                meant = translate(error)
                if meant is None:
                    raise
                if isinstance(meant, SpoolFullError):
                    self.room.ran_out()
                else:
                    self._pool.discard(link)
                raise meant from error

    async def transact(self, work: Callable[[Transaction], Awaitable[T]], seconds: float = STATEMENT_SECONDS) -> T:
        """Run `work` in a READ COMMITTED transaction and return its result once that is committed with an fsync.

        It is run again when it lost a race (deadlock, unique key), so it must have no effect but through its
        statements, each of which may take `seconds`.
        """
        for attempt in range(RETRIES):
            try:
                return await self._transact(work, seconds)
            except asyncpg.PostgresError as error:
                if not may_succeed_again(error) or attempt + 1 == RETRIES:
                    raise
                _log.info("transaction-again", attempt=attempt + 1, cause=type(error).__name__)
                await asyncio.sleep(0.005 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _transact(self, work: Callable[[Transaction], Awaitable[T]], seconds: float) -> T:
        unknown = False
        async with self._link() as link:
            link.number += 1
            mark = (link.slot, link.number)
            # Not READ WRITE: default_transaction_read_only is how many keep a disk from filling up altogether.
            begin = "BEGIN ISOLATION LEVEL READ COMMITTED; " + _MARK.format(slot=mark[0], number=mark[1])
            try:
                await link.connection.execute(begin)
                result = await work(Transaction(link.connection, seconds))
            except BaseException as error:
                await _roll_back(link.connection, error)
                raise
            unknown = not await self._commit(link)
        # The connection was given back: with all of them in doubt at once, none would be left to ask with.
        if unknown and not await self._was_committed(*mark):
            raise SpoolUnavailableError("PostgreSQL: the connection broke in the commit, which did not happen")
        return result

    async def _commit(self, link: Link) -> bool:
        """COMMIT; False when nobody knows. Raises what the server answers if it certainly was not committed."""
        committing = asyncio.ensure_future(link.connection.execute("COMMIT", timeout=2 * COMMIT_SECONDS))
        try:
            await asyncio.wait([committing], timeout=COMMIT_SECONDS)
        except asyncio.CancelledError:
            await asyncio.wait([committing], timeout=COMMIT_SECONDS)
            raise
        finally:
            if not committing.done():
                # No cancel request: it would end the wait for a standby, and the commit would stand without it.
                link.connection.terminate()
                await asyncio.wait([committing])
        error = committing.exception()
        if error is None:
            if committing.result() != "COMMIT":
                raise SpoolUnavailableError("PostgreSQL: the transaction had failed and was rolled back")
            return True
        if certainly_not_committed(error):
            raise error
        _log.error("commit-unknown", error=repr(error))
        self._pool.discard(link)
        return False

    async def _was_committed(self, slot: int, number: int) -> bool:
        """Ask the database that is writable now whether a transaction is in it; waits while it is under way."""
        give_up = asyncio.get_running_loop().time() + RESOLVE_SECONDS
        while True:
            try:
                async with self._link() as link:
                    rows = await link.connection.fetch(_ASK, slot)
            except SpoolUnavailableError as error:
                if asyncio.get_running_loop().time() > give_up:
                    text = f"PostgreSQL: the connection broke in the commit, and its fate is unknown: {error}"
                    raise SpoolUnavailableError(text) from None
                await asyncio.sleep(0.25)
            else:
                committed = bool(rows[0][0] >= number)
                _log.warning("commit-resolved", committed=committed)
                return committed

    async def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """One read, in a snapshot of its own."""
        async with self._reading, self._link() as link:
            return await Transaction(link.connection).fetch(sql, *values)

    async def check_writable(self) -> None:
        """Raise SpoolUnavailableError when the server takes no writes, SpoolFullError when its disk was full and is."""
        async with self._link() as link:
            if await link.connection.fetchval("SELECT current_setting('transaction_read_only')") == "on":
                self._pool.discard(link)
                raise SpoolUnavailableError("PostgreSQL: the server takes no writes just now")
        await self.room.check()

    async def _try_room(self) -> None:
        async with self._link() as link:
            try:
                await link.connection.execute(TRIAL)
            except BaseException as error:
                await _roll_back(link.connection, error)
                raise

    async def look(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a read-only transaction: all its statements see the same moment."""
        async with self._reading, self._link() as link:
            await link.connection.execute(_LOOK)
            try:
                return await work(Transaction(link.connection))
            finally:
                await _roll_back(link.connection, None)

    async def write(self, work: Callable[[Connection], T], patience: float | None = None) -> T:
        try:
            async with asyncio.timeout(patience):
                await self._bridge.place.acquire()
        except TimeoutError:
            raise SpoolUnavailableError(f"the database did not begin the work within {patience} s") from None
        try:
            return await self.transact(lambda transaction: self._bridge.run(transaction, work))
        finally:
            self._bridge.place.release()

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self.read_over(self._bridge, work)

    async def read_over(self, bridge: Bridge, work: Callable[[Connection], T]) -> T:
        """As `read`, with a unit in a thread of `bridge`."""
        async with bridge.place:
            return await self.look(lambda transaction: bridge.run(transaction, work))

    def aside(self) -> Database:
        return Aside(self, _AsideReader(self))

    async def migrate(self, component: str, folder: Path) -> list[str]:
        migrations = read_migrations(folder)

        async def work(transaction: Transaction) -> list[str]:
            await transaction.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            return await self._bridge.run(
                transaction, lambda connection: apply_migrations(connection, component, migrations)
            )

        try:
            async with self._bridge.place:
                return await self.transact(work, LONG_SECONDS)
        except asyncpg.PostgresError as error:
            raise SchemaError(f"{component}: a migration failed: {error}") from None

    async def cut_log(self) -> bool:
        return True

    async def close(self) -> None:
        await self._pool.close()
        self._bridge.close()


async def _roll_back(connection: Any, error: BaseException | None) -> None:
    """End a transaction that shall not be; a connection that may be broken is closed instead, which does the same."""
    meant = None if error is None else translate(error)
    if connection.is_closed() or (meant is not None and not isinstance(meant, SpoolFullError)):
        connection.terminate()
        return
    try:
        await connection.execute("ROLLBACK", timeout=5.0)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
