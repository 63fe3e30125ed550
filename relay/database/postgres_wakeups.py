"""Wake-ups between nodes: LISTEN and NOTIFY on a connection of their own.

A NOTIFY takes a lock of the whole database server when its transaction commits, so none is ever part of an
accept: notices are gathered and sent in a transaction of their own, at most a few a second. A wake-up that is
lost costs nothing but time, for every node also looks by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import asyncpg

from relay.database.postgres_pool import Connector
from relay.errors import LeakError
from relay.log import Log

_log = Log("database")

INTERVAL_SECONDS: Final = 0.1
"""Between two notices of one process."""

RECONNECT_SECONDS: Final = 2.0


class Wakeups:
    """Owns one connection and one task. What listens is called on the event loop for every notice, our own too."""

    def __init__(self, connector: Connector, channel: str) -> None:
        self._connector = connector
        self._channel = channel
        self._listening: dict[str, Callable[[], None]] = {}
        self._pending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def listen(self, word: str, heard: Callable[[], None]) -> None:
        """Have `heard` called for notices with this word, and whenever some may have been missed."""
        self._listening[word] = heard
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="wakeups")

    def announce(self) -> None:
        """Tell every listening process, soon, that there may be work. Costs nothing when nobody listens here."""
        if self._task is not None:
            self._pending.set()

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (LeakError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                _log.warning("wakeups-failed", error=repr(error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection: Any = await self._connector.connect()
        gone = asyncio.Event()
        connection.add_termination_listener(lambda _: gone.set())
        try:
            await connection.add_listener(self._channel, lambda _connection, _pid, _channel, word: self._heard(word))
            self._heard()
            await self._send(connection, gone)
        finally:
            connection.terminate()

    async def _send(self, connection: Any, gone: asyncio.Event) -> None:
        ended = asyncio.create_task(gone.wait())
        try:
            while not gone.is_set():
                pending = asyncio.create_task(self._pending.wait())
                try:
                    await asyncio.wait([pending, ended], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    pending.cancel()
                if self._pending.is_set():
                    self._pending.clear()
                    await connection.execute("SELECT pg_notify($1, '')", self._channel)
                    await asyncio.sleep(INTERVAL_SECONDS)
        finally:
            ended.cancel()

    def _heard(self, word: str | None = None) -> None:
        """Call what listens for the word, or everything where notices may have been missed."""
        for listened, heard in list(self._listening.items()):
            if word in (None, listened):
                heard()
