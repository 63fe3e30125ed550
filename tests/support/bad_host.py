"""A mail host that misbehaves, as a process of its own: `python -m tests.support.bad_host KIND ADDRESS PORT`.

Its memory is not that of who is tested. It says "ready" once it listens, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Awaitable, Callable

Host = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Its greeting comes octet by octet and never ends: no single read waits long."""
    for octet in b"220-" + b"x" * 100_000:
        writer.write(bytes((octet,)))
        await writer.drain()
        await asyncio.sleep(0.5)


async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A line without an end, as fast as it is read."""
    while True:
        writer.write(b"2" * 65_536)
        await writer.drain()


async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """421 to everything."""
    writer.write(b"421 4.3.2 not now\r\n")
    while await reader.readline():
        writer.write(b"421 4.3.2 not now\r\n")


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """It takes the connection and resets it once it is spoken to."""
    writer.write(b"220 bad.example\r\n")
    await reader.readline()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def breaking_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """STARTTLS is offered, and the handshake is answered with rubbish; in clear it refuses mail for now."""
    writer.write(b"220 bad.example\r\n")
    while line := (await reader.readline()).upper():
        if line.startswith(b"EHLO"):
            writer.write(b"250-bad.example\r\n250 STARTTLS\r\n")
        elif line.startswith(b"STARTTLS"):
            writer.write(b"220 go\r\n" + b"\0rubbish" * 100)
            await writer.drain()
            await reader.read(1)
            return
        else:
            writer.write(b"450 4.3.2 not now\r\n")


KINDS: dict[str, Host] = {
    one.__name__: one for one in (drip, endless, refusing, resetting, breaking_tls)
}  # fmt: skip


async def serve(kind: str, address: str, port: int) -> None:
    """Misbehave until standard input ends."""
    host = KINDS[kind]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            await host(reader, writer)
        writer.close()

    async with await asyncio.start_server(answer, address, port, backlog=4096):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
