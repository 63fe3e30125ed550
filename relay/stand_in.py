"""The stand-in: answers at a worker's doors while none can be kept alive behind them.

The supervisor keeps the sockets of a dead worker open, so that a restart loses no connection. When worker after worker
dies at its start, nobody would ever accept what waits there: clients and `/readyz` would hang. So the supervisor itself
says 421 to SMTP clients and 503 to HTTP clients until a worker has started. It reads no mail and knows no settings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from relay.listeners import BACKLOG, Listener, Purpose
from relay.log import Log

_log = Log("supervisor")

SMTP: Final = b"421 4.3.2 the service is starting, try again later\r\n"
_PROBLEM: Final = b'{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"no worker runs"}'
HTTP: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_PROBLEM), _PROBLEM)
)
MOST: Final = 100
"""Connections answered at once; more are closed."""
SECONDS: Final = 2.0
"""For an HTTP client to end its header, and for any to take the answer."""


class StandIn:
    """At the sockets of one worker; `begin` and `end` may be called again and again."""

    def __init__(self, worker: int, listeners: Sequence[Listener]) -> None:
        self._worker = worker
        self._listeners = listeners
        self._servers: list[asyncio.Server] = []
        self._answering = 0

    async def begin(self) -> None:
        """Answer from now on."""
        if self._servers:
            return
        for one in self._listeners:
            # A copy: closing a server closes its socket, and ours is the next worker's.
            copy = one.socket.dup()
            copy.setblocking(False)
            try:
                server = await asyncio.start_server(self._door(one.purpose), sock=copy, backlog=BACKLOG)
            except OSError as error:
                copy.close()
                _log.warning("stand-in-failed", worker=self._worker, error=error)
            else:
                self._servers.append(server)
        _log.warning("stand-in", worker=self._worker)

    async def end(self) -> None:
        """Leave the doors to a worker."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    def _door(self, purpose: Purpose) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._answering += 1
            try:
                async with asyncio.timeout(SECONDS):
                    if self._answering <= MOST:
                        await self._answer(purpose, reader, writer)
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
                pass
            finally:
                self._answering -= 1
                writer.close()

        return answer

    async def _answer(self, purpose: Purpose, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if purpose == "http":
            with suppress(asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
        writer.write(HTTP if purpose == "http" else SMTP)
        await writer.drain()
