"""A database server whose disk really fills up under load, and has room again (R04).

Needs root, for it mounts a small disk in memory: run by hand with `LEAK_DISK_FULL=1`. It prints what it found as a
line of JSON (docs/postgresql.md, "What was measured"). `test_postgres_faults.py` shows the same with the server's error
alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.crash_world import CrashNode, Ledger, load, world
from tests.support.postgres_server import NOBODY, PostgresServer

DISK = "160m"
LEFT_OCTETS = 1_000_000
"""What is left on the disk when it is filled."""


@pytest.fixture
def small_disk() -> Iterator[PostgresServer]:
    server = PostgresServer.make(max_wal_size="64MB", min_wal_size="32MB", autovacuum_naptime="2s")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},uid={NOBODY}", "none", str(server.folder)], check=True)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        subprocess.run(["umount", "-l", str(server.folder)], check=True)
        server.folder.rmdir()


async def readiness(node: CrashNode) -> int:
    async with aiohttp.ClientSession() as client, client.get(f"http://127.0.0.1:{node.http_port}/readyz") as answer:
        return answer.status


async def fill(folder: Path) -> Path:
    """Leave next to nothing free."""
    ballast = folder / "ballast"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    await asyncio.to_thread(ballast.write_bytes, bytes(free - LEFT_OCTETS))
    return ballast


if os.environ.get("LEAK_DISK_FULL"):

    @pytest.mark.timeout(400)
    async def test_a_disk_that_fills_up_under_load(
        small_disk: PostgresServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ledger = Ledger(1_000_000, pause=0.02)
        async with world(tmp_path, workers=1, spool=await small_disk.create(), nodes=2) as outside:
            loading = asyncio.create_task(load(outside, ledger))
            await asyncio.sleep(3)
            ballast = await fill(small_disk.folder)
            seen: Counter[int] = Counter()
            async with asyncio.timeout(60):
                while not seen[507] + seen[503]:
                    seen[await readiness(outside.nodes[0])] += 1
                    await asyncio.sleep(0.2)
            for _ in range(50):
                seen[await readiness(outside.nodes[0])] += 1
                await asyncio.sleep(0.2)
            before = len(ledger.acknowledged)
            ballast.unlink()
            freed = time.monotonic()
            async with asyncio.timeout(60):
                while len(ledger.acknowledged) < before + 10:
                    await asyncio.sleep(0.05)
            resumed = round(time.monotonic() - freed, 2)
            async with asyncio.timeout(30):
                while await readiness(outside.nodes[0]) != 200:
                    await asyncio.sleep(0.2)
            await asyncio.sleep(3)
            ledger.end()
            await loading
            await outside.until_empty(120)
            arrived = outside.arrived()
        figures = {
            "acknowledged": len(ledger.acknowledged),
            "lost": len(ledger.acknowledged - set(arrived)),
            "duplicated": sum(count - 1 for count in arrived.values()),
            "readiness": dict(seen),
            "accepting again after, s": resumed,
        }
        with capsys.disabled():
            print("\n" + json.dumps(figures))
        assert ledger.acknowledged <= set(arrived)
