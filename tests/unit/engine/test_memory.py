"""Memory stays flat however long the queue: what does not fit into the window waits in the spool.

`LEAK_QUEUE_MESSAGES` makes it longer; 20000 is the figure of the documents.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
from datetime import timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.policy.state import State
from relay.spool.inquiry import QueueFilter
from tests.support.engine_bench import CONTENT, engine_bench

MESSAGES = int(os.environ.get("LEAK_QUEUE_MESSAGES", "3000"))
ROUNDS = 3
LETTER = CONTENT + b"A line of a letter that fills a few kilobytes.\r\n" * 100


def resident() -> int:
    """Megabytes of this process in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() >> 20


@pytest.mark.timeout(60 + MESSAGES // 50)
async def test_a_long_queue_for_a_dead_domain_stays_on_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # R22, R34
    async with engine_bench(tmp_path, SystemClock(), window=1000, line=250, rest=timedelta(seconds=2)) as bench:
        dead = bench.far.host("mx.dead.example")
        dead.reachable = False
        for n in range(200):
            await bench.send(f"first{n}@dead.example", content=LETTER)
        before = resident()
        for start in range(0, MESSAGES, 100):
            group = (bench.send(f"u{start + n}@dead.example", content=LETTER) for n in range(100))
            await asyncio.gather(*group)
        dials = dead.dials
        async with asyncio.timeout(60):
            while dead.dials < dials + ROUNDS:
                await asyncio.sleep(0.1)
        after = resident()
        alive = await bench.send("a@alive.example")
        await bench.until(alive, State.DELIVERED)
        waiting = await bench.spool.count(QueueFilter(domain="dead.example", limit=10 * MESSAGES))
    with capsys.disabled():
        print(f"\n{waiting} deliveries wait for a dead domain; resident memory {before} MB, then {after} MB")
    assert waiting == MESSAGES + 200
    assert after - before < 40
