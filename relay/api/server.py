"""The HTTP server of a worker: an application served on bound sockets, its connections counted and timed.

Stands between the node and `relay.api.connections`. It accepts by itself: a server of uvloop ends its listener for
good when descriptors run out.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final

from aiohttp import hdrs, web

from relay.api.connections import Connection, HttpLimits, Room
from relay.clock import Clock
from relay.descriptors import place_of, serve_each
from relay.log import Log

_BACKLOG: Final = 1024
_SHUTDOWN_SECONDS: Final = 5.0

_log = Log("http")


class HttpServer:
    """Serves one application; `start` and `stop` are called once each, on the same loop."""

    def __init__(
        self, application: web.Application, limits: HttpLimits, clock: Clock, shutdown: float = _SHUTDOWN_SECONDS
    ) -> None:
        # A client that hangs up must not cancel an accept that may already be in its commit.
        self._runner = web.AppRunner(application, handler_cancellation=False, shutdown_timeout=shutdown)
        self._room = Room(limits, clock)
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        application.on_response_prepare.append(_anonymous)

    async def start(self, listeners: Sequence[socket.socket]) -> None:
        """Serve on bound sockets, which are closed by `stop`."""
        await self._runner.setup()
        for listener in listeners:
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._listeners.append(listener)
            self._accepting.append(
                asyncio.create_task(serve_each(listener, self._connection, _log), name="http accept")
            )
            _log.info("listening", address=place_of(listener))

    async def stop(self) -> None:
        """Accept no more, let requests under way finish for some seconds, then end every connection."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        await self._runner.cleanup()

    def _connection(self) -> Connection:
        server = self._runner.server
        if server is None:
            raise RuntimeError("the server is not running")
        return Connection(server, self._room, asyncio.get_running_loop())


async def _anonymous(_request: web.Request, response: web.StreamResponse) -> None:
    """The wire is told as little about the program as SMTP's banner tells; aiohttp would name versions."""
    response.headers[hdrs.SERVER] = "leak"
