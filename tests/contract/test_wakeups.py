"""Wake-ups between nodes: few, however much is announced, and heard again after the connection was lost (R24)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from relay.database.postgres_pool import Connector
from relay.database.postgres_wakeups import INTERVAL_SECONDS, Wakeups
from tests.support.postgres_server import PostgresServer

CHANNEL = "test_wakeups"
END_ALL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'leak-relay' AND datname = current_database()"
)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(url: str, word: str, heard: list[str]) -> AsyncIterator[Wakeups]:
    """Wake-ups that hear `word`, once they do: the first call tells that notices may have been missed."""
    wakeups = Wakeups(Connector(url), CHANNEL)
    wakeups.listen(word, lambda: heard.append(word))
    try:
        await until(lambda: heard)
        heard.clear()
        yield wakeups
    finally:
        await wakeups.close()


async def test_many_announcements_are_few_notices(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create()
    here: list[str] = []
    there: list[str] = []
    loop = asyncio.get_running_loop()
    async with listening(url, "", here) as sender, listening(url, "", there):
        begun = loop.time()
        for _ in range(100):
            sender.announce()
            await asyncio.sleep(0.005)
        await until(lambda: there)
        await asyncio.sleep(3 * INTERVAL_SECONDS)
        assert 1 <= len(there) <= 2 + (loop.time() - begun) / INTERVAL_SECONDS
        assert len(here) >= 1


async def test_a_lost_connection_is_replaced_and_what_was_missed_is_made_up_for(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.database.postgres_wakeups.RECONNECT_SECONDS", 0.1)
    url = await postgres_server.create()
    heard: list[str] = []
    operator = await asyncpg.connect(url)
    async with listening(url, "ended", heard):
        await operator.execute(f"SELECT pg_notify('{CHANNEL}', 'another word')")
        await operator.execute(f"SELECT pg_notify('{CHANNEL}', 'ended')")
        await until(lambda: heard)
        assert len(heard) == 1, "its own word only"
        heard.clear()
        await operator.execute(END_ALL)
        await until(lambda: heard)
        heard.clear()
        await operator.execute(f"SELECT pg_notify('{CHANNEL}', 'ended')")
        await until(lambda: heard)
    await operator.close()


async def test_a_server_that_vanishes_is_missed_before_any_statement_times_out(postgres_server: PostgresServer) -> None:
    """The kernel does it, and there is no way on loopback to have a peer vanish: it is asked what it was told."""
    connection = await Connector(postgres_server.url()).connect()
    line = connection._transport.get_extra_info("socket")
    assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 6000
    await connection.close()
