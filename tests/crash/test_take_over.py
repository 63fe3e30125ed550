"""Nodes that stand still, are cut off, or share a name, as real processes on one PostgreSQL (R18).

What a machine held that is not heard of goes to the others within its lease and five seconds; when it comes back, what
it did late is told and changes nothing. The test prints the seconds it took (docs/postgresql.md, "What was measured").
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from relay.assignment import REPLACED_STATUS
from relay.event import EventKind
from relay.namesake import ALARM
from tests.support.crash_world import submit, world
from tests.support.postgres_server import PostgresServer
from tests.support.tcp_proxy import TcpProxy
from tests.support.watching_sink import WatchingSink

LEASE_SECONDS = 5
BOUND_SECONDS = LEASE_SECONDS + 5
PATIENCE = 4
"""A machine that does other work besides may take so many times as long."""


class Database:
    """What the spool says, asked directly."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def ask(self, sql: str, *values: object) -> list[Any]:
        return list(await self._connection.fetch(sql, *values))

    async def leased_to(self, node: str) -> int:
        sql = "SELECT FROM delivery d JOIN incarnation i ON i.id = d.lease WHERE d.state = 2 AND i.node = $1"
        return len(await self.ask(sql, node))

    async def living(self, node: str) -> int:
        return len(await self.ask("SELECT FROM incarnation WHERE node = $1 AND ended IS NULL", node))

    async def events(self) -> list[tuple[int, str | None]]:
        return [tuple(row) for row in await self.ask("SELECT kind, detail FROM event ORDER BY seq")]


async def until(condition: Callable[[], Awaitable[object]], seconds: float) -> float:
    """Wait for a condition; the seconds it took."""
    begun = time.monotonic()
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)
    return round(time.monotonic() - begun, 2)


async def test_what_a_silent_machine_held_goes_to_the_others(
    postgres_server: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = await postgres_server.create()
    connection = await asyncpg.connect(url)
    database, proxy = Database(connection), TcpProxy(postgres_server.port, b"")
    await proxy.start()
    lease = f"{LEASE_SECONDS}s"
    behind = url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
    async with (
        WatchingSink() as sink,
        world(tmp_path, workers=1, spool=url, nodes=2, started=False, far=sink.address) as outside,
    ):
        stopped, cut = outside.nodes
        await stopped.relay.start(LEAK_SPOOL__LEASE=lease)
        await cut.relay.start(LEAK_SPOOL__LEASE=lease, LEAK_SPOOL__URL=behind)
        assert stopped.relay.process is not None

        # The far side has the letter and has not answered when the machine stands still.
        sink.hold("dot")
        await submit(stopped.smtp_port, "first")
        await until(lambda: asyncio.sleep(0, sink.arrived["first"] == 1), 60)
        stopped.relay.process.send_signal(signal.SIGSTOP)
        assert await database.leased_to(name(0)) == 1
        paused = await until(lambda: empty(database, name(0)), BOUND_SECONDS * PATIENCE)
        await until(lambda: asyncio.sleep(0, sink.arrived["first"] == 2), 60)
        sink.release()
        await outside.until_empty(60)
        stopped.relay.process.send_signal(signal.SIGCONT)
        await until(lambda: told_late(database), 60)
        assert sink.arrived["first"] == 2, "case (c) of docs/spool.md"
        kinds = [kind for kind, _ in await database.events()]
        assert kinds.count(EventKind.DELIVERED) == 1
        await stopped.relay.ready()
        await until(lambda: database.living(name(0)), 30)

        # The other is cut off from the database before the far side has the letter: it never sends it.
        sink.hold("RCPT")
        await submit(cut.smtp_port, "second")
        await until(lambda: asyncio.sleep(0, sink.attempted["second"] == 1), 60)
        assert await database.leased_to(name(1)) == 1
        proxy.hold()
        cut_off = await until(lambda: empty(database, name(1)), BOUND_SECONDS * PATIENCE)
        await until(lambda: asyncio.sleep(0, sink.attempted["second"] == 2), 60)
        sink.release()
        await until(lambda: arrived_at_all(database), 60)
        proxy.release()
        await outside.until_empty(60)
        await cut.relay.ready()
        assert [await node.relay.terminate() for node in outside.nodes] == [0, 0]
        assert sink.arrived["second"] == 1
    await proxy.stop()
    await connection.close()
    with capsys.disabled():
        print("\n" + json.dumps({"lease, s": LEASE_SECONDS, "paused, s": paused, "cut off, s": cut_off}))


def name(number: int) -> str:
    return f"mail{number}.leak.lab.test"


async def empty(database: Database, node: str) -> bool:
    return await database.leased_to(node) == 0


async def told_late(database: Database) -> bool:
    return any(
        kind == EventKind.ATTEMPTED and '"late":true' in (detail or "") for kind, detail in await database.events()
    )


async def arrived_at_all(database: Database) -> bool:
    return [kind for kind, _ in await database.events()].count(EventKind.DELIVERED) == 2


async def test_of_two_nodes_with_one_name_the_older_stops_for_good(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = await postgres_server.create()
    connection = await asyncpg.connect(url)
    database = Database(connection)
    async with world(tmp_path, workers=2, spool=url, nodes=2, started=False) as outside:
        older, newer = outside.nodes
        await older.relay.start()
        assert older.relay.process is not None
        assert newer.relay.process is None
        await newer.relay.start(LEAK_NODE__NAME=name(0), LEAK_NODE__WORKERS="1")
        async with asyncio.timeout(60):
            assert await older.relay.process.wait() == REPLACED_STATUS
        log = older.relay.log.read_text(encoding="utf-8")
        assert "name-taken" in log
        assert "node.name" in log
        alarms = await database.ask("SELECT subject, detail FROM alarm WHERE kind = $1", ALARM)
        assert [alarm["subject"] for alarm in alarms] == [name(0)]
        await newer.relay.ready()
        assert await database.living(name(0)) == 1
    await connection.close()
