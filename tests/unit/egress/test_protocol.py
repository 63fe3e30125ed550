from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from aiosmtplib import SMTPException, SMTPReadTimeoutError, SMTPServerDisconnected

from relay.egress.protocol import PipelinedProtocol, ReplySyntaxError, UnsolicitedReplyError


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[PipelinedProtocol, asyncio.StreamWriter]]:
    """A protocol and the writer of its far side, over a real socket."""
    writers: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writers.put(writer)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    port = server.sockets[0].getsockname()[1]
    _, protocol = await loop.create_connection(lambda: PipelinedProtocol(loop), "127.0.0.1", port)
    writer = await writers.get()
    try:
        yield protocol, writer
    finally:
        protocol.abort()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        server.close()
        await server.wait_closed()


GOOD = [
    (b"250 ok\r\n", 250, ("ok",)),
    (b"250\r\n", 250, ("",)),
    (b"250 \r\n", 250, ("",)),
    (b"250-a\r\n250-b\r\n250 c\r\n", 250, ("a", "b", "c")),
    (b"250-\r\n250\r\n", 250, ("", "")),
    (b"299 odd\r\n", 299, ("odd",)),
    (b"550 5.1.1 a\x1b[31mb\x00\xff\r\n", 550, ("5.1.1 a?[31mb?\ufffd",)),  # S13
    (b"250 bare lf\n", 250, ("bare lf",)),
]

BAD = [
    b"250-a\r\n251 b\r\n",
    b"150 no\r\n",
    b"650 no\r\n",
    b"25 no\r\n",
    b"2500 no\r\n",
    b"250x\r\n",
    b"hello\r\n",
    b"\r\n",
    b"\xb2\xb5\xb0 ok\r\n",
]


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("octets", "code", "lines"), GOOD)
async def test_replies_are_read_whole_and_byte_by_byte(  # A06
    octets: bytes, code: int, lines: tuple[str, ...], bytewise: bool
) -> None:
    async with connected() as (protocol, writer):
        for part in [bytes([octet]) for octet in octets] if bytewise else [octets]:
            writer.write(part)
            await asyncio.sleep(0)
        reply = await protocol.read_reply(5)
        assert (reply.code, reply.lines) == (code, lines)
        assert protocol.healthy


@pytest.mark.parametrize("octets", BAD)
async def test_nonsense_ends_the_connection(octets: bytes) -> None:  # A06
    async with connected() as (protocol, writer):
        writer.write(octets)
        with pytest.raises(ReplySyntaxError):
            await protocol.read_reply(5)
        assert not protocol.healthy
        with pytest.raises(SMTPException):
            protocol.send(b"NOOP\r\n", 1)


@pytest.mark.parametrize(
    "octets", [b"250 " + b"x" * (1 << 20), b"250-x\r\n" * 20_000, (b"250-" + b"x" * 4000 + b"\r\n") * 99]
)
async def test_floods_end_the_connection_in_little_memory(octets: bytes) -> None:  # A08 S13
    async with connected() as (protocol, writer):
        tracemalloc.start()
        try:
            writer.write(octets)
            before = tracemalloc.get_traced_memory()[0]
            with pytest.raises(ReplySyntaxError):
                await protocol.read_reply(5)
            assert tracemalloc.get_traced_memory()[0] - before < 2 << 20
        finally:
            tracemalloc.stop()


async def test_all_replies_of_a_packet_answer_their_commands() -> None:
    async with connected() as (protocol, writer):
        writer.write(b"220 hello\r\n")
        await protocol.read_reply(5)
        protocol.send(b"A\r\nB\r\nC\r\n", 3)
        writer.write(b"250 a\r\n550-b\r\n550 b\r\n354 c\r\n")
        assert [(await protocol.read_reply(5)).code for _ in range(3)] == [250, 550, 354]


async def test_a_reply_to_nothing_is_never_an_answer() -> None:  # A22
    async with connected() as (protocol, writer):
        writer.write(b"220 hello\r\n250 surprise\r\n")
        assert (await protocol.read_reply(5)).code == 220
        assert not protocol.healthy
        with pytest.raises(UnsolicitedReplyError):
            protocol.send(b"EHLO x\r\n", 1)


async def test_421_between_commands_is_an_end() -> None:  # A21
    async with connected() as (protocol, writer):
        writer.write(b"220 hello\r\n421 4.4.2 idle too long\r\n")
        await protocol.read_reply(5)
        with pytest.raises(SMTPServerDisconnected):
            await protocol.read_reply(5)


async def test_what_came_before_the_end_is_still_heard() -> None:
    async with connected() as (protocol, writer):
        writer.write(b"220 hello\r\n")
        await writer.drain()
        writer.close()
        await asyncio.sleep(0.05)
        assert (await protocol.read_reply(5)).code == 220
        with pytest.raises(SMTPServerDisconnected):
            await protocol.read_reply(5)


async def test_dripping_does_not_stretch_the_time_of_a_reply() -> None:  # A08
    async with connected() as (protocol, writer):

        async def drip() -> None:
            for octet in b"220 " + b"x" * 200:
                writer.write(bytes([octet]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        with pytest.raises(SMTPReadTimeoutError):
            await protocol.read_reply(0.2)
        dripping.cancel()


async def test_aiosmtplibs_own_commands_work_on_it() -> None:
    async with connected() as (protocol, writer):
        writer.write(b"220 hello\r\n")
        await protocol.read_response()
        command = asyncio.create_task(protocol.execute_command(b"NOOP", timeout=5))
        await asyncio.sleep(0.01)
        writer.write(b"250 fine\r\n")
        assert await command == (250, "fine")
