"""The bridge: synchronous units of work, as written for SQLite, in a transaction of PostgreSQL.

The unit runs in one of a few threads; each of its statements is handed to the event loop, where the
connection lives, and waited for. That costs a thread switch a statement: right for accounts, letters and
what people look at, never for the path of a message. `?` becomes `$n`; everything else in the statement must
be SQL that both databases know (docs/decisions/0004-bridge.md).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final, Protocol, TypeVar

from relay.database.contract import Connection
from relay.errors import SpoolUnavailableError

T = TypeVar("T")

THREADS: Final = 2
"""Units that run at the same time; others wait, without a connection."""

_PARTS: Final = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|\?")
_GIVES_ROWS: Final = re.compile(r"\s*(?:SELECT|WITH)\b|.*\bRETURNING\b", re.IGNORECASE | re.DOTALL)


class Statements(Protocol):
    """What the bridge needs of a transaction."""

    async def fetch(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement that gives rows."""
        ...

    async def execute(self, sql: str, *values: Any) -> int:
        """Run a statement that gives none; the number of rows it changed."""
        ...


@lru_cache(maxsize=1000)
def numbered(sql: str) -> str:
    """`sql` with its `?` placeholders as `$1`, `$2`, …; those inside literals and comments are left alone."""
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        if match[0] != "?":
            return match[0]
        count += 1
        return f"${count}"

    return _PARTS.sub(replace, sql)


class BridgedConnection:
    """Implements `relay.database.contract.Connection` for one unit in its thread."""

    def __init__(self, statements: Statements, loop: asyncio.AbstractEventLoop) -> None:
        self._statements = statements
        self._loop = loop
        self._changes = 0
        self._abandoned = False

    def execute(self, sql: str, bindings: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        if _GIVES_ROWS.match(sql):
            rows = self._wait(self._statements.fetch(numbered(sql), *bindings))
            self._changes = len(rows)
            return iter(rows)
        self._changes = self._wait(self._statements.execute(numbered(sql), *bindings))
        return iter(())

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        changes = 0
        for bindings in rows:
            self.execute(sql, bindings)
            changes += self._changes
        self._changes = changes

    def last_insert_rowid(self) -> int:
        """The number the last insert in this transaction drew from a sequence."""
        return int(self._wait(self._statements.fetch("SELECT lastval()"))[0][0])

    def changes(self) -> int:
        return self._changes

    def abandon(self) -> None:
        """Let no further statement pass: whoever waited for the unit is gone."""
        self._abandoned = True

    def _wait(self, running: Any) -> Any:
        if self._abandoned:
            running.close()
            raise SpoolUnavailableError("the unit of work was given up")
        return asyncio.run_coroutine_threadsafe(running, self._loop).result()


class Bridge:
    """Owns the threads."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="database-bridge")
        self._places = asyncio.Semaphore(threads)

    @property
    def place(self) -> asyncio.Semaphore:
        """Held while a unit runs: taken before its connection, so that no unit holds one while it waits."""
        return self._places

    async def run(self, statements: Statements, work: Callable[[Connection], T]) -> T:
        """Run `work` in a thread over an open transaction; the caller holds `place`."""
        loop = asyncio.get_running_loop()
        connection = BridgedConnection(statements, loop)
        running = loop.run_in_executor(self._threads, work, connection)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # The thread uses the connection: it must have ended before the transaction is rolled back.
            connection.abandon()
            await asyncio.wait([running])
            running.exception()
            raise

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)
