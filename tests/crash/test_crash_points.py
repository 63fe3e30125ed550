"""Every named crash point: the process ends there, starts again, and nothing acknowledged is missing (R12).

Points are passed one after another, each life recovering from the end of the one before, under a load that never rests.
On PostgreSQL only the points around commits; with `LEAK_CRASH_ALL=1` all of them on both, each in a world of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.crash_points import EXIT_STATUS, POINTS
from tests.support.crash_world import Ledger, World, load, world

MESSAGES = 30
AT_ONCE = 20
"""What may come twice for each end: the sessions of one worker, and once more what a client sent again."""
AROUND_COMMITS = ("accept-written", "accept-committed", "claim-committed", "settle-written", "settle-committed")
HITS = {"register": 1, "accept": 7, "claim": 1, "prelude": 1, "settle": 3, "content": 5, "outcome": 5}
IN_A_ROW = 1 if os.environ.get("LEAK_CRASH_ALL") else 6


def rows(points: Sequence[str]) -> list[Sequence[str]]:
    """The points, so many as are passed in a row."""
    return [points[start : start + IN_A_ROW] for start in range(0, len(points), IN_A_ROW)]


@pytest.mark.timeout(180 + 60 * IN_A_ROW)
@pytest.mark.parametrize("points", rows(POINTS), ids="+".join)
async def test_nothing_is_lost_at(points: Sequence[str], tmp_path: Path) -> None:
    await crash_and_count(points, tmp_path, "sqlite:spool.db")


@pytest.mark.timeout(180 + 60 * IN_A_ROW)
@pytest.mark.parametrize("points", rows(POINTS if IN_A_ROW == 1 else AROUND_COMMITS), ids="+".join)
async def test_nothing_is_lost_on_postgres_at(
    points: Sequence[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await crash_and_count(points, tmp_path, await request.getfixturevalue("postgres_server").create())


async def crash_and_count(points: Sequence[str], folder: Path, spool: str) -> None:
    ledger = Ledger(1_000_000, pause=0.05)
    told: dict[str, set[str]] = {}
    async with world(folder, workers=1, started=False, spool=spool) as outside:
        loading = asyncio.create_task(load(outside, ledger))
        for point in points:
            await crash(outside, point)
            told[point] = ledger.acknowledged.difference(*told.values())
        await outside.relay.start()
        await outside.until_acknowledged(ledger, MESSAGES)
        ledger.end()
        await loading
        await outside.until_empty(240)  # what was in hand at each end rests longer and longer
        assert await outside.relay.terminate() == 0, outside.relay.tail()
        arrived = outside.arrived()
    assert not {point: missing for point, serials in told.items() if (missing := serials - set(arrived))}
    assert ledger.acknowledged <= set(arrived)
    assert sum(count - 1 for count in arrived.values()) <= AT_ONCE * len(points)


async def crash(outside: World, point: str) -> None:
    """Run under load until the process ends at the point."""
    fuse = f"{point}:{HITS[point.partition('-')[0]]}"
    await outside.relay.start(LEAK_CRASH_POINT=fuse, wait=False)
    assert outside.relay.process is not None
    async with asyncio.timeout(150):
        status = await outside.relay.process.wait()
    assert status == EXIT_STATUS, (point, outside.relay.tail())
