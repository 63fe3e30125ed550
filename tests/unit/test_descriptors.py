"""Accepting connections: what is begun is whole, also when the accept loop ends at that moment."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from relay.descriptors import serve_each
from relay.log import Log


class _Cancelling(asyncio.Protocol):
    """Ends the accept loop from the very moment that its connection is made."""

    accepting: asyncio.Task[None]

    def __init__(self, lost: asyncio.Event) -> None:
        self._lost = lost
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.accepting.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()


async def test_a_connection_begun_while_accepting_ends_is_whole() -> None:
    # C08, R09: at SIGTERM such a client still reads its 421, and the session hears of its end
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    lost = asyncio.Event()
    protocol = _Cancelling(lost)
    protocol.accepting = asyncio.create_task(serve_each(listener, lambda: protocol, Log("test")))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    async with asyncio.timeout(10):
        await asyncio.wait([protocol.accepting])
        assert protocol.transport is not None
        assert not protocol.transport.is_closing()
        protocol.transport.write(b"421 4.3.2 closing\r\n")
        protocol.transport.close()
        assert await reader.read() == b"421 4.3.2 closing\r\n"
        await lost.wait()
    writer.close()
    await writer.wait_closed()
    listener.close()
