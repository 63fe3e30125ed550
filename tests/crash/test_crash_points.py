"""Every named crash point once: the process ends there, starts again, and nothing acknowledged is missing (R12).

On PostgreSQL the points around commits are passed by default, all of them with `LEAK_CRASH_ALL=1`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from relay.crash_points import EXIT_STATUS, POINTS
from tests.support.crash_world import Ledger, World, load, world
from tests.support.postgres_server import PostgresServer

MESSAGES = 30
AROUND_COMMITS = ("accept-written", "accept-committed", "claim-committed", "settle-written", "settle-committed")
ON_POSTGRES = POINTS if os.environ.get("LEAK_CRASH_ALL") else AROUND_COMMITS
HITS = {"register": 1, "accept": 7, "claim": 1, "prelude": 1, "settle": 3, "content": 5, "outcome": 5}


@pytest.mark.parametrize("point", POINTS)
async def test_nothing_is_lost_at(point: str, tmp_path: Path) -> None:
    await crash_and_count(point, tmp_path, "sqlite:spool.db")


@pytest.mark.parametrize("point", ON_POSTGRES)
async def test_nothing_is_lost_on_postgres_at(point: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    await crash_and_count(point, tmp_path, await postgres_server.create())


async def crash_and_count(point: str, folder: Path, spool: str) -> None:
    hit = HITS[point.partition("-")[0]]
    async with world(folder, workers=1, started=False, spool=spool) as outside:
        ledger = Ledger(MESSAGES)
        loading = await crash(outside, ledger, f"{point}:{hit}")
        await outside.relay.start()
        await loading
        await outside.until_empty(40)
        assert await outside.relay.terminate() == 0
        arrived = outside.arrived()
    assert len(ledger.acknowledged) >= MESSAGES / 2
    assert ledger.acknowledged <= set(arrived)
    # What was in flight may come twice: the sessions of one worker, and once more what a client sent again.
    assert sum(count - 1 for count in arrived.values()) <= 20


async def crash(outside: World, ledger: Ledger, fuse: str) -> asyncio.Task[None]:
    """Run under load until the fuse burns down; the load goes on."""
    await outside.relay.start(LEAK_CRASH_POINT=fuse, wait=not fuse.startswith("register"))
    loading = asyncio.create_task(load(outside, ledger))
    assert outside.relay.process is not None
    async with asyncio.timeout(12):
        status = await outside.relay.process.wait()
    assert status == EXIT_STATUS, outside.relay.tail()
    return loading
