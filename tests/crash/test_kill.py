"""kill -9 of workers and of the supervisor at random moments under load: everything acknowledged arrives (R01).

The ledger of what was acknowledged, and the far side that counts what came, live outside the relay's processes.
The test prints what it found: acknowledged, lost, duplicated, and how much was in flight at the kills.
`LEAK_CRASH_KILLS` and `LEAK_CRASH_MESSAGES` make it longer: 200 and 20000 are the figures of the documents.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
from pathlib import Path

import pytest

from tests.support.crash_world import Ledger, World, load, world
from tests.support.relay_process import COMMAND, ROOT, RelayProcess, is_alive
from tests.support.watching_sink import WatchingSink

KILLS = int(os.environ.get("LEAK_CRASH_KILLS", "10"))
MESSAGES = int(os.environ.get("LEAK_CRASH_MESSAGES", "1000"))
WORKERS = 2
SESSIONS_PER_WORKER = 10
SKEWED = ROOT / "tests" / "support" / "skewed_clock"


async def start_apart(relay: RelayProcess) -> None:
    """Start a node whose workers are five minutes apart in their clocks."""
    await relay.start(PYTHONPATH=str(SKEWED), LEAK_TEST_SKEW="300")


async def kill_now_and_then(world: World, chance: random.Random, ledger: Ledger) -> int:
    """Kill workers, and every fifth time the supervisor, while the load goes on; the number of kills."""
    kills = 0
    while kills < KILLS and ledger.next_serial < MESSAGES:
        await asyncio.sleep(chance.uniform(0.1, 0.9))
        kills += 1
        relay = chance.choice(world.nodes).relay
        if kills % 5:
            relay.kill_worker(chance.randrange(WORKERS))
        else:
            await relay.kill_supervisor()
            await start_apart(relay)
    return kills


@pytest.mark.timeout(180 + 6 * KILLS + MESSAGES // 20)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_everything_acknowledged_arrives(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On SQLite one node of two workers; on PostgreSQL two such nodes, killed in turn (R01, R18).

    The workers of a node are five minutes apart in their clocks, and the far side sees whether two ever attempt one
    recipient at once.
    """
    spool = "sqlite:spool.db"
    if database == "postgres":
        spool = await request.getfixturevalue("postgres_server").create()
    seed = random.randrange(1 << 30)
    ledger = Ledger(MESSAGES)
    nodes = 2 if database == "postgres" else 1
    async with (
        WatchingSink(pause=0.02) as sink,
        world(tmp_path, workers=WORKERS, started=False, spool=spool, nodes=nodes, far=sink.address) as outside,
    ):
        await asyncio.gather(*(start_apart(node.relay) for node in outside.nodes))
        loading = asyncio.create_task(load(outside, ledger))
        kills = await kill_now_and_then(outside, random.Random(seed), ledger)
        await loading
        await outside.until_empty(60 + MESSAGES / 50)
        assert [await node.relay.terminate() for node in outside.nodes] == [0] * len(outside.nodes)
    arrived = sink.arrived
    lost = ledger.acknowledged - set(arrived)
    duplicated = sum(count - 1 for count in arrived.values())
    bound = kills * WORKERS * SESSIONS_PER_WORKER
    figures = {
        "database": database,
        "seed": seed,
        "kills": kills,
        "acknowledged": len(ledger.acknowledged),
        "uncertain": len(ledger.uncertain),
        "lost": len(lost),
        "duplicated": duplicated,
        "in flight at most": bound,
        "attempted": sum(arrived.values()) + len(sink.waits),
        "at once by two": len(sink.overlaps),
        "seconds to the next attempt": [round(of(sink.waits), 1) for of in (statistics.median, max) if sink.waits],
    }
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    assert len(ledger.acknowledged) > MESSAGES / 2
    assert not lost
    assert duplicated <= bound
    assert not sink.overlaps
    assert set(arrived) <= ledger.acknowledged | ledger.uncertain


async def test_workers_end_within_a_second_of_their_supervisor(tmp_path: Path) -> None:
    async with world(tmp_path, workers=WORKERS) as outside:
        orphans = await outside.relay.kill_supervisor()
        assert len(orphans) == WORKERS
        async with asyncio.timeout(30):  # a second is theirs, the rest the machine's
            while any(is_alive(pid) for pid in orphans):
                await asyncio.sleep(0.02)


async def test_a_second_node_on_the_same_spool_is_refused(tmp_path: Path) -> None:
    async with world(tmp_path, workers=WORKERS) as outside:
        second = await asyncio.create_subprocess_exec(
            *COMMAND, "run", "--config", str(outside.relay.config), cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            _, words = await second.communicate()
        assert second.returncode == 1
        assert b"another node" in words
        await outside.relay.ready()


async def test_sigterm_under_load_loses_and_repeats_nothing(tmp_path: Path) -> None:
    # R09
    ledger = Ledger(1_000_000)
    async with (
        WatchingSink(pause=0.1) as sink,
        world(tmp_path, workers=WORKERS, far=sink.address) as outside,
    ):
        loading = asyncio.create_task(load(outside, ledger))
        await outside.until_acknowledged(ledger, 200)
        sessions = len(sink.sessions)
        assert await outside.relay.terminate() == 0, outside.relay.tail()
        await outside.relay.start()
        await outside.until_acknowledged(ledger, len(ledger.acknowledged) + 20)
        ledger.end()
        await loading
        await outside.until_empty(60)
        assert await outside.relay.terminate() == 0, outside.relay.tail()
    assert sessions
    assert ledger.acknowledged <= set(sink.arrived)
    assert set(sink.arrived.values()) == {1}
