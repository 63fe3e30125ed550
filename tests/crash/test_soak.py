"""A node under a steady load for as long as wanted, with a far side that fails now and then (R35).

`LEAK_SOAK_MINUTES=480` by hand; the test prints memory by the hour, open files, rows and what was lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from pathlib import Path

import apsw
import pytest

from tests.support.crash_world import Ledger, load, world
from tests.support.relay_process import open_files, resident
from tests.support.watching_sink import WatchingSink

MINUTES = float(os.environ.get("LEAK_SOAK_MINUTES", "0"))
PAUSE = 0.1
"""Of each client between two letters: about a third of what the node can take in."""
TROUBLE_EVERY, TROUBLE_LASTS = 20.0, 3.0
WARM = 0.2
"""The part of the time in which memory may still find its size."""


async def trouble(sink: WatchingSink) -> None:
    """The far side answers no dot for a while, then all that waited, again and again; some sessions break off."""
    while True:
        await asyncio.sleep(TROUBLE_EVERY)
        sink.hold("dot")
        await asyncio.sleep(TROUBLE_LASTS)
        for session in list(sink.sessions)[::3]:
            session.transport.abort()
        sink.release()


def an_hour(samples: list[tuple[float, int]]) -> float:
    """The slope of kilobytes over seconds, as a share of the mean an hour."""
    times, sizes = [at for at, _ in samples], [size for _, size in samples]
    return statistics.linear_regression(times, sizes).slope * 3600 * len(sizes) / sum(sizes)


def pieces_left(spool: Path) -> int:
    return int(next(apsw.Connection(str(spool)).execute("SELECT count(*) FROM content"))[0])


if MINUTES:

    @pytest.mark.timeout(int(60 * MINUTES) + 300)
    async def test_a_steady_load_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        async with (
            WatchingSink(pause=0.02) as sink,
            world(tmp_path, workers=1, started=False, far=sink.address) as outside,
        ):
            await outside.relay.start(LEAK_SPOOL__KEEP_CONTENT="1s")
            assert outside.relay.process is not None
            pid, ledger = outside.relay.process.pid, Ledger(1_000_000_000, pause=PAUSE)
            loading, troubling = asyncio.create_task(load(outside, ledger)), asyncio.create_task(trouble(sink))
            samples: list[tuple[float, int]] = []
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < 60 * MINUTES:
                if passed > WARM * 60 * MINUTES:
                    samples.append((passed, resident(pid)))
                await asyncio.sleep(1)
            troubling.cancel()
            ledger.end()
            await loading
            await outside.until_empty(120)
            async with asyncio.timeout(120):
                while left := pieces_left(tmp_path / "spool.db"):
                    await asyncio.sleep(1)
            figures = {
                "minutes": MINUTES,
                "acknowledged": len(ledger.acknowledged),
                "lost": len(ledger.acknowledged - set(sink.arrived)),
                "twice": sum(count - 1 for count in sink.arrived.values()),
                "resident, kB": [samples[0][1], samples[-1][1]],
                "growth an hour": round(an_hour(samples), 4),
                "open files": open_files(pid),
                "pieces of content left": left,
            }
            assert await outside.relay.terminate() == 0
        with capsys.disabled():
            print("\n" + json.dumps(figures))
        assert figures["lost"] == 0
        assert not sink.overlaps
        if MINUTES >= 60:  # a shorter time shows no slope an hour
            assert an_hour(samples) < 0.01
