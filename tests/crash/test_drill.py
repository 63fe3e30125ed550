"""The whole drill under load: processes killed, the database lost, the disk filled and freed (R01, R04, R18, R24).

On PostgreSQL three nodes and a primary with a synchronous standby, on SQLite one node of two workers. It mounts a small
disk in memory and so needs root: run by hand with `LEAK_DRILL=1`, longer with `LEAK_DRILL_ROUNDS`. It prints what it
found as a line of JSON (docs/durability.md).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import cast

import aiohttp
import pytest

from tests.support.crash_world import Ledger, World, load, world
from tests.support.postgres_pair import PostgresPair
from tests.support.postgres_server import PostgresServer
from tests.support.small_disk import small_disk
from tests.support.watching_sink import WatchingSink

ROUNDS = int(os.environ.get("LEAK_DRILL_ROUNDS", "1"))
DISK = "300m"
LEFT_OCTETS = 1_000_000
SESSIONS = 20
"""Of a worker that dies: so many deliveries may be between the far 250 and our settle."""


@dataclass
class Drill:
    """What is done, and what was seen. `disk` is where the database writes just now."""

    world: World
    ledger: Ledger
    disk: Callable[[], Path]
    chance: random.Random
    died: int = 0
    full: list[float] = field(default_factory=list)
    resumed: list[float] = field(default_factory=list)

    async def kill(self) -> None:
        """kill -9 of a worker, or of a node whose supervisor starts it again."""
        relay = self.chance.choice(self.world.nodes).relay
        workers = relay.workers
        if workers and self.chance.random() < 0.5:
            relay.kill_worker(self.chance.randrange(len(workers)))
            self.died += 1
        else:
            await relay.kill_supervisor()
            self.died += max(1, len(workers))
            await relay.start(wait=False)
        await asyncio.sleep(self.chance.uniform(0.5, 2.0))

    async def fill_and_free(self) -> None:
        """Fill the disk until new mail is refused, kill meanwhile, and give the room back."""
        disk = self.disk()
        ballast = disk / "ballast"
        status = os.statvfs(disk)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - LEFT_OCTETS)
        self.full.append(await self.until_full())
        await self.kill()
        await asyncio.sleep(2)
        ballast.unlink()
        self.resumed.append(await self.until_accepted())

    async def until_full(self) -> float:
        """Wait until `/readyz` says 507: 503 is also that of a node that starts. The seconds it took."""
        url, begun = f"http://127.0.0.1:{self.world.nodes[0].http_port}/readyz", time.monotonic()
        async with asyncio.timeout(120), aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as client:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(url) as answer:
                        if answer.status == HTTPStatus.INSUFFICIENT_STORAGE:
                            return round(time.monotonic() - begun, 2)
                await asyncio.sleep(0.2)

    async def until_accepted(self) -> float:
        """Wait for ten more acknowledgements; the seconds it took."""
        before, begun = len(self.ledger.acknowledged), time.monotonic()
        async with asyncio.timeout(180):
            while len(self.ledger.acknowledged) < before + 10:
                await asyncio.sleep(0.05)
        return round(time.monotonic() - begun, 2)


async def run(drill: Drill, sink: WatchingSink, more: Callable[[int], Awaitable[None]]) -> dict[str, object]:
    """The rounds, then everything is delivered; the figures."""
    ledger = drill.ledger
    loading = asyncio.create_task(load(drill.world, ledger))
    await drill.until_accepted()
    for number in range(ROUNDS):
        for _ in range(3):
            await drill.kill()
        await drill.fill_and_free()
        await more(number)
        await drill.until_accepted()
    ledger.end()
    await loading
    await drill.world.until_empty(240)
    await asyncio.gather(*(node.relay.ready() for node in drill.world.nodes))  # one may have been started just now
    assert [await node.relay.terminate() for node in drill.world.nodes] == [0] * len(drill.world.nodes)
    return {
        "acknowledged": len(ledger.acknowledged),
        "uncertain": len(ledger.uncertain),
        "lost": len(ledger.acknowledged - set(sink.arrived)),
        "twice": sum(count - 1 for count in sink.arrived.values()),
        "workers killed": drill.died,
        "in flight at most": drill.died * SESSIONS,
        "at once by two": len(sink.overlaps),
        "refused": dict(sorted(ledger.refused.items())),
        "readyz 507 on a full disk after, s": drill.full,
        "accepting again after, s": drill.resumed,
    }


def judge(figures: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    assert figures["lost"] == 0
    assert figures["at once by two"] == 0
    assert int(str(figures["twice"])) <= int(str(figures["in flight at most"]))
    assert {"452", "507"} <= set(cast("dict[str, int]", figures["refused"]))


if os.environ.get("LEAK_DRILL"):

    @pytest.mark.timeout(300 + 300 * ROUNDS)
    async def test_the_drill_on_sqlite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        seed = random.randrange(1 << 30)
        with small_disk(tmp_path / "disk", DISK) as disk:
            async with (
                WatchingSink(pause=0.02) as sink,
                world(tmp_path, workers=2, spool="sqlite:disk/spool.db", far=sink.address) as outside,
            ):
                drill = Drill(outside, Ledger(1_000_000, pause=0.02), lambda: disk, random.Random(seed))

                async def nothing(_: int) -> None:
                    """A SQLite has no other to fail over to."""

                figures = await run(drill, sink, nothing)
        judge({"database": "sqlite", "seed": seed, **figures}, capsys)

    @pytest.mark.timeout(300 + 400 * ROUNDS)
    async def test_the_drill_on_a_cluster(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        seed = random.randrange(1 << 30)
        async with AsyncExitStack() as stack:
            servers = [PostgresServer.make(max_wal_size="64MB", min_wal_size="32MB") for _ in range(2)]
            for server in servers:
                stack.enter_context(small_disk(server.folder, DISK))
            pair = await stack.enter_async_context(PostgresPair(*servers))
            sink = await stack.enter_async_context(WatchingSink(pause=0.02))
            outside = await stack.enter_async_context(
                world(tmp_path, workers=1, spool=await pair.create(), nodes=3, far=sink.address)
            )
            disk = lambda: pair.primary.folder  # noqa: E731 - it changes with every fail-over
            drill = Drill(outside, Ledger(1_000_000, pause=0.05), disk, random.Random(seed))

            async def fail_over(number: int) -> None:
                await pair.lose_primary(kill=number % 2 == 0)
                await asyncio.sleep(3)
                await drill.kill()
                await pair.promote()
                await drill.until_accepted()
                if number + 1 < ROUNDS:
                    await pair.follow()

            figures = await run(drill, sink, fail_over)
        judge({"database": "postgresql", "fail-overs": ROUNDS, "seed": seed, **figures}, capsys)
