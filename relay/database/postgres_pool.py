"""Connections to the writable one of several PostgreSQL hosts, and a small pool of them.

A pool of our own, because a vanished first host must not use up the time of the second, because a connection
whose transaction failed is thrown away and never repaired, and because nothing needs resetting in between.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

from relay.database.postgres_durability import check_server
from relay.database.postgres_url import hosts_of
from relay.errors import ConfigurationError, SpoolUnavailableError
from relay.log import Log

_log = Log("database")

CONNECT_SECONDS: Final = 4.0
"""For one host: connecting, TLS, authentication."""

STATEMENT_SECONDS: Final = 15.0
"""How long one statement may take before its connection is given up."""

ACQUIRE_SECONDS: Final = 10.0
"""How long work may wait for a free connection."""

MAX_WAITING: Final = 1000
"""Callers that may wait for a connection; more are refused, for full means "4xx, later"."""

SILENCE_SECONDS: Final = 6
"""After which a server that acknowledges nothing, not even a probe, has vanished: no time-out of a statement is waited
for. A COMMIT that waits for a standby is not meant: there the machine answers."""

SESSION_SETTINGS: Final[Mapping[str, str]] = {
    "application_name": "leak-relay",
    "jit": "off",
    "lock_timeout": "10s",
    # A node that stands still in the middle of a transaction must not hold its locks for ever.
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
    # The path of a message touches few rows by their keys, whatever the statistics of a table that just grew say:
    # a plan that reads all of it, made when it was small or guessed from arrays of unknown length, costs seconds.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}


@dataclass(slots=True, eq=False)
class Link:
    """One connection. `slot` names it in `commit_mark`, `number` counts its transactions."""

    connection: Any
    slot: int
    generation: int
    number: int = 0


class Connector:
    """Opens connections: `connect` tries the hosts in turn, the last good one first. Each is judged when it is new."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._hosts = hosts_of(url, os.environ)
        self._judged: str | None = None

    async def connect(self) -> Any:
        """A connection to a host that takes writes. Raises SpoolUnavailableError.

        Before the first one was had, a host that refuses us or could not keep the promise is a ConfigurationError;
        later, when a fail-over may have led to it, it is one more that cannot be used just now.
        """
        complaints: list[str] = []
        for host in list(self._hosts):
            try:
                connection = await self._connect(host)
            except ConfigurationError as error:
                if self._judged is None:
                    raise
                complaints.append(f"{_name(host)}: {error}")
            except TimeoutError:
                complaints.append(f"{_name(host)}: no answer within {CONNECT_SECONDS:g} s")
            except asyncpg.TargetServerAttributeNotMatched:
                complaints.append(f"{_name(host)}: takes no writes (a standby that was not promoted, or read-only)")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                complaints.append(f"{_name(host)}: {error}")
            else:
                self._prefer(host)
                return connection
        raise SpoolUnavailableError(f"PostgreSQL: {'; '.join(complaints)}")

    async def _connect(self, host: tuple[str, int] | None) -> Any:
        """A connection to one host. Its settings are looked at if it is not the one that was used last."""
        try:
            connection = await self._open(host)
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, ValueError) as error:
            raise ConfigurationError(f"spool.url: {error}") from None
        if _name(host) != self._judged:
            try:
                await check_server(connection)
            except BaseException:
                connection.terminate()
                raise
            self._judged = _name(host)
        return connection

    async def _open(self, host: tuple[str, int] | None) -> Any:
        place = {} if host is None else {"host": host[0], "port": host[1]}
        async with asyncio.timeout(CONNECT_SECONDS):
            connection = await asyncpg.connect(
                self._url,
                **place,
                target_session_attrs="read-write",
                command_timeout=STATEMENT_SECONDS,
                server_settings=dict(SESSION_SETTINGS),
            )
        # asyncpg has no setting for it, and gives its transport out under no other name.
        watch_for_silence(connection._transport.get_extra_info("socket"))  # noqa: SLF001
        return connection

    def _prefer(self, host: tuple[str, int] | None) -> None:
        if self._hosts[0] != host:
            _log.info("database-host", host=_name(host))
            self._hosts.remove(host)
            self._hosts.insert(0, host)


def watch_for_silence(line: Any) -> None:
    """Have the kernel end a TCP connection whose other end vanished within `SILENCE_SECONDS` (Linux)."""
    if line is None or line.family == socket.AF_UNIX or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_SECONDS // 2)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, SILENCE_SECONDS // 2)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)


def _name(host: tuple[str, int] | None) -> str:
    return "the default host" if host is None else f"{host[0]}:{host[1]}"


@dataclass(slots=True)
class PostgresPool:
    """Up to `size` connections, opened when they are needed, the last used given out first."""

    connector: Connector
    size: int
    _idle: list[Link] = field(default_factory=list)
    _generation: int = 0
    _waiting: int = 0
    _closed: bool = False
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.size)

    @asynccontextmanager
    async def link(self) -> AsyncIterator[Link]:
        """A connection for the time of the block; one that was left broken or in a transaction is closed."""
        await self._take_place()
        try:
            link = await self._open()
            try:
                yield link
            finally:
                self._give_back(link)
        finally:
            self._places.release()

    async def _take_place(self) -> None:
        if self._closed:
            raise SpoolUnavailableError("the spool is closing")
        if self._waiting >= MAX_WAITING:
            raise SpoolUnavailableError("too much waits for a connection to PostgreSQL")
        self._waiting += 1
        try:
            async with asyncio.timeout(ACQUIRE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            text = f"no connection to PostgreSQL was free within {ACQUIRE_SECONDS:g} s"
            raise SpoolUnavailableError(text) from None
        finally:
            self._waiting -= 1

    async def _open(self) -> Link:
        while self._idle:
            link = self._idle.pop()
            if link.generation == self._generation and not link.connection.is_closed():
                return link
            link.connection.terminate()
        return Link(await self.connector.connect(), random.getrandbits(63), self._generation)

    def _give_back(self, link: Link) -> None:
        stale = self._closed or link.generation != self._generation
        if stale or link.connection.is_closed() or link.connection.is_in_transaction():
            link.connection.terminate()
        else:
            self._idle.append(link)

    def discard(self, link: Link) -> None:
        """Close a connection that cannot be trusted, and every idle one: they shared its server."""
        link.connection.terminate()
        self._generation += 1

    async def close(self) -> None:
        """Close what is idle, and what is in use as soon as it comes back."""
        self._closed = True
        idle, self._idle = self._idle, []
        for link in idle:
            try:
                await link.connection.close(timeout=2.0)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                link.connection.terminate()
