"""The connections of the HTTP door: their number, their time, and what a broken one leaves in the log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web

from relay.api.connections import HttpLimits, Room
from relay.api.server import HttpServer
from relay.clock import SystemClock
from relay.descriptors import accept_each, within_share
from relay.log import Log
from tests.support.api_server import running_api
from tests.support.hand_clock import HandClock

PROBE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def caller(
    port: int, source: str = "127.0.0.1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def ask(port: int, request: bytes = PROBE, source: str = "127.0.0.1") -> bytes:
    """The first octets of the answer, and all of it if the connection then ends."""
    async with caller(port, source) as (reader, writer), asyncio.timeout(20):
        writer.write(request)
        return await reader.read(65536)


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes before the connection ends, in whatever way."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_the_log_names_the_address(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "leak")
    async with running_api(tmp_path) as api:
        told = [vars(line)["facts"] for line in caplog.records if line.getMessage() == "listening"]
        assert told == [{"address": f"127.0.0.1:{api.port}"}]


async def test_connections_are_bounded_by_address_and_in_all(tmp_path: Path) -> None:  # S25
    limits = HttpLimits(max_connections=3, max_connections_per_address=2)
    async with running_api(tmp_path, limits=limits) as api:
        async with caller(api.port) as (silent, _), caller(api.port):
            assert (await ask(api.port)).startswith(b"HTTP/1.1 503 ")
            async with caller(api.port, "127.0.0.9"):
                assert (await ask(api.port, source="127.0.0.9")).startswith(b"HTTP/1.1 503 ")
            assert not silent.at_eof()
        async with asyncio.timeout(20):
            while not (await ask(api.port)).startswith(b"HTTP/1.1 200 "):
                await asyncio.sleep(0.02)


SLOW_BODY = b"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"


@pytest.mark.parametrize("held", [b"", PROBE[:-2], SLOW_BODY + b"Content-Type: application/json\r\n%b\r\n[", PROBE])
async def test_who_fills_the_door_alone_keeps_nobody_out(tmp_path: Path, held: bytes) -> None:  # S25
    limits = HttpLimits(max_connections=2)
    async with running_api(tmp_path, limits=limits) as api, asyncio.timeout(20):
        held = held.replace(b"%b", b"Authorization: Bearer %b\r\n" % api.key.encode())
        async with caller(api.port, "127.0.0.9") as (first, oldest), caller(api.port, "127.0.0.9") as (_, second):
            for writer in (oldest, second):
                writer.write(held)
            if held == PROBE:
                await first.readuntil(b"}")
            assert (await ask(api.port)).startswith(b"HTTP/1.1 200 ")
            assert await rest(first) == b""


class _Client:
    """A connection that does nothing."""

    def __init__(self, *, waits_for_client: bool = True) -> None:
        self.waits_for_client = waits_for_client
        self.gave_way = False

    def give_way(self) -> None:
        self.gave_way = True


def test_whoever_has_most_gives_up_what_waits_for_them() -> None:  # S25
    room = Room(HttpLimits(max_connections=5, proxies=(ip_network("192.0.2.1/32"),)), HandClock())
    theirs = [_Client(waits_for_client=False), _Client(), _Client()]
    assert all(room.admit("192.0.2.9", one) for one in theirs)
    of_proxy = [_Client(), _Client()]
    assert all(room.admit("192.0.2.1", one) for one in of_proxy)
    assert not room.admit("192.0.2.9", _Client())  # theirs are most already
    newcomer = _Client()
    assert room.admit("192.0.2.7", newcomer)
    assert [one.gave_way for one in theirs] == [False, True, False]
    room.leave(theirs[1])  # it has left by then, and counts once
    assert not room.admit("192.0.2.7", _Client())  # they have two, and the other would have as many
    assert room.admit("192.0.2.8", _Client())
    assert [one.gave_way for one in (*theirs, *of_proxy, newcomer)] == [False, True, True, False, False, False]
    assert not room.admit("192.0.2.6", _Client())  # nobody has more than one
    room.leave(newcomer)
    assert room.admit("192.0.2.6", _Client())


@pytest.mark.parametrize("named", [False, True])
async def test_a_client_is_named_in_the_log_only_where_no_visitors_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, named: bool
) -> None:  # SND 4, S53
    caplog.set_level(logging.DEBUG)
    limits = HttpLimits(max_connections_per_address=1, header_seconds=0.3, names_peers=named)
    async with running_api(tmp_path, limits=limits) as api, asyncio.timeout(20):
        refused = False
        while not refused:  # on a busy machine the slow one may be gone before the other comes
            async with caller(api.port, "127.0.0.77") as (slow, _):
                refused = (await ask(api.port, source="127.0.0.77")).startswith(b"HTTP/1.1 503 ")
                await rest(slow)
        assert b" 400 " in await ask(api.port, b"no request\r\n\r\n", source="127.0.0.77")
    told = {one.getMessage(): str(getattr(one, "facts", "")) for one in caplog.records if one.name == "leak.http"}
    del told["listening"]  # names nobody's address but ours
    assert {"connections-refused", "client-too-slow", "bad-request"} <= set(told)
    assert all(("127.0.0.77" in facts) is named for facts in told.values())


def test_a_trusted_proxy_speaks_for_many() -> None:  # S50
    limits = HttpLimits(max_connections=5, max_connections_per_address=2, proxies=(ip_network("192.0.2.1/32"),))
    room = Room(limits, HandClock())
    behind = [_Client() for _ in range(4)]
    assert all(room.admit("192.0.2.1", one) for one in behind)
    assert room.admit("2001:db8::1", _Client())
    assert not room.admit("2001:db8::2", _Client())
    room.leave(behind[0])
    assert room.admit("2001:db8::2", _Client())  # of the same /64
    room.leave(behind[1])
    assert not room.admit("2001:db8::3", _Client())
    assert room.admit("192.0.2.2", _Client())


@pytest.mark.parametrize("beginning", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "])
async def test_a_header_that_does_not_come_ends_the_connection(tmp_path: Path, beginning: bytes) -> None:  # S25
    limits = HttpLimits(header_seconds=0.3)
    async with running_api(tmp_path, limits=limits) as api, caller(api.port) as (reader, writer), asyncio.timeout(20):
        writer.write(beginning)
        # A reset closes uvloop's transport before the reader hears of it: writing to one is a RuntimeError.
        with contextlib.suppress(ConnectionError, RuntimeError):
            while not reader.at_eof():
                writer.write(b"x" if beginning else b"")
                await writer.drain()
                await asyncio.sleep(0.05)
        assert await rest(reader) == b""


async def test_so_does_the_header_of_a_second_request(tmp_path: Path) -> None:  # S25
    limits = HttpLimits(header_seconds=0.3)
    async with running_api(tmp_path, limits=limits) as api, caller(api.port) as (reader, writer), asyncio.timeout(20):
        writer.write(PROBE)
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.6)  # an idle client that said something may stay
        writer.write(PROBE)
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200 ")
        writer.write(PROBE[:-2])
        assert await rest(reader) == b""


async def test_a_slow_body_has_its_own_time(tmp_path: Path) -> None:
    limits = HttpLimits(header_seconds=0.2)
    async with running_api(tmp_path, limits=limits) as api, caller(api.port) as (reader, writer), asyncio.timeout(20):
        fields = f"Authorization: Bearer {api.key}\r\nContent-Type: application/json\r\nContent-Length: 6"
        writer.write(f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n".encode())
        for octet in b"[1,2]]":
            await asyncio.sleep(0.1)
            writer.write(bytes([octet]))
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 4")


async def test_who_hangs_up_within_a_body_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:  # S46
    caplog.set_level(logging.DEBUG, "leak")
    ended = asyncio.Event()

    async def read(request: web.Request) -> web.Response:
        try:
            return web.Response(body=await request.read())
        finally:
            ended.set()

    application = web.Application()
    application.router.add_post("/", read)
    server, listener = HttpServer(application, HttpLimits(), SystemClock()), socket.create_server(("127.0.0.1", 0))
    await server.start([listener])
    async with caller(listener.getsockname()[1]) as (_, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nto=")
        await writer.drain()
    async with asyncio.timeout(20):
        await ended.wait()
        while "client-left" not in (told := [one.getMessage() for one in caplog.records if one.name == "leak.http"]):
            await asyncio.sleep(0.01)
    assert "request-failed" not in told
    await server.stop()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /s/topsecret topsecret HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer topsecret\r\ntop secret\x01 topsecret\r\n\r\n",
        b"GET /topsecret" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01topsecret\r\n\r\n",
    ],
)
async def test_a_request_that_is_none_gets_a_bare_answer(  # S13, S46
    tmp_path: Path, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running_api(tmp_path) as api:
        answer = await ask(api.port, request_)
        assert answer.startswith(b"HTTP/1.")
        assert b" 400 " in answer.partition(b"\r\n")[0]
        assert answer.endswith(b"\r\n\r\n")
        for told in (b"Server:", b"Python", b"aiohttp", b"secret"):
            assert told not in answer
    told_log = [one for one in caplog.records if one.name in {"leak.http", "aiohttp.server"}]
    assert told_log.pop(0).getMessage() == "listening"
    assert [(one.name, one.levelname, one.getMessage()) for one in told_log] == [("leak.http", "DEBUG", "bad-request")]
    assert told_log[0].exc_info is None
    assert not any("secret" in f"{one.getMessage()} {getattr(one, 'facts', '')}" for one in caplog.records)


async def test_nothing_names_the_program(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        for path in ("/nothing", "/openapi.json", "/api/v1/queue", "/healthz"):
            answer = await ask(api.port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b"\r\nServer: leak\r\n" in answer


def test_a_door_takes_only_its_share_of_the_open_files() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert within_share(8, 0.5, "x") == 8
    assert within_share(10 * soft, 0.25, "x") == soft // 4


_EXHAUSTED = """
import asyncio, resource, socket
from relay.descriptors import accept_each, raise_limit
from relay.log import Log

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
    raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 128
    listener = socket.create_server(("127.0.0.1", 0), backlog=200)
    listener.setblocking(False)
    taken = []
    async def accept():
        async for client, _ in accept_each(listener, Log("x")):
            taken.append(client)
    task = asyncio.create_task(accept())
    mine = []
    try:
        while True:
            one = socket.socket(); mine.append(one); one.connect(listener.getsockname())
            await asyncio.sleep(0)
    except OSError:
        pass
    await asyncio.sleep(0.2)
    assert not task.done()
    before = len(taken)
    for one in [*mine, *taken]: one.close()
    with socket.create_connection(listener.getsockname()):
        async with asyncio.timeout(10):
            while len(taken) == before: await asyncio.sleep(0.05)
    task.cancel()
    print("went on")

try:
    import uvloop
    uvloop.run(main())
except ImportError:
    asyncio.run(main())
"""


def test_a_listener_outlives_a_lack_of_descriptors() -> None:
    done = subprocess.run([sys.executable, "-c", _EXHAUSTED], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "went on", done.stderr[-2000:]


async def test_accepting_ends_when_it_is_cancelled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)

        async def accept() -> None:
            async for client, _ in accept_each(listener, Log("test")):
                client.close()

        accepting = asyncio.create_task(accept())
        await asyncio.sleep(0.05)
        accepting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await accepting
