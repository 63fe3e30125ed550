"""Three nodes on PostgreSQL with a synchronous standby: nodes killed, the primary lost, the other promoted (R18, R24).

Load comes in by SMTP and HTTP all the while. The ledger of what was acknowledged, and the far side that counts what
came, live outside the relay's processes. The test prints what it found as a line of JSON; `LEAK_CLUSTER_ROUNDS` makes
it longer (docs/postgresql.md, "What was measured").
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.crash_world import Ledger, World, load, world
from tests.support.postgres_pair import PostgresPair

ROUNDS = int(os.environ.get("LEAK_CLUSTER_ROUNDS", "1"))
AWAY_SECONDS = 20.0 if ROUNDS > 1 else 1.0
"""How long no primary is there: R24 names 20 s."""
NODES = 3
SESSIONS = 20
"""Of a node to one site: so many deliveries may be between the far 250 and our settle when it is killed."""
PAUSE = 0.1 if ROUNDS == 1 else 0.05
"""Seconds a client rests between two submissions."""
RESUME_SECONDS = 10.0
"""R24."""
PATIENCE = 4
"""A machine that does other work besides may take so many times as long."""


@dataclass
class Drill:
    """What is done to the cluster, and what was seen."""

    world: World
    pair: PostgresPair
    ledger: Ledger
    chance: random.Random
    kills: int = 0
    accepted_after: list[float] = field(default_factory=list)
    delivered_after: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """The rounds: a node dies, the primary is lost, a node dies meanwhile, the standby takes over."""
        for number in range(ROUNDS):
            await self.until_arrived(30)
            await self.kill_a_node()
            await asyncio.sleep(self.chance.uniform(0.2, 1.0))
            await self.fail_over(kill=number % 2 == 0)
            await self.until_arrived(30)
            if number + 1 < ROUNDS:
                await self.pair.follow()

    async def kill_a_node(self) -> None:
        """kill -9, and what the system's supervisor does: start it again."""
        relay = self.chance.choice(self.world.nodes).relay
        await relay.kill_supervisor()
        self.kills += 1
        await relay.start(wait=False)

    async def fail_over(self, *, kill: bool) -> None:
        """Lose the primary, and promote the standby after a while in which another node dies."""
        await self.pair.lose_primary(kill=kill)
        await asyncio.sleep(AWAY_SECONDS / 2)
        await self.kill_a_node()
        await asyncio.sleep(AWAY_SECONDS / 2)
        earlier = set(self.ledger.acknowledged)
        await self.pair.promote()
        returned = time.monotonic()
        async with asyncio.timeout(90):
            while self.ledger.acknowledged <= earlier:
                await asyncio.sleep(0.01)
            self.accepted_after.append(round(time.monotonic() - returned, 2))
            while not (self.ledger.acknowledged - earlier) & set(self.world.arrived()):
                await asyncio.sleep(0.05)
            self.delivered_after.append(round(time.monotonic() - returned, 2))

    async def until_arrived(self, count: int) -> None:
        """Wait until so many more came."""
        before = len(self.world.arrived())
        async with asyncio.timeout(90):
            while len(self.world.arrived()) < before + count:
                await asyncio.sleep(0.05)


@pytest.mark.timeout(180 + 120 * ROUNDS)
async def test_a_cluster_loses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 30)
    ledger = Ledger(1_000_000, pause=PAUSE)
    async with (
        PostgresPair.make() as pair,
        world(tmp_path, workers=1, spool=await pair.create(), nodes=NODES) as outside,
    ):
        drill = Drill(outside, pair, ledger, random.Random(seed))
        loading = asyncio.create_task(load(outside, ledger))
        await drill.run()
        ledger.end()
        await loading
        await outside.until_empty(120)
        assert [await node.relay.terminate() for node in outside.nodes] == [0] * NODES
        arrived = outside.arrived()
    lost = ledger.acknowledged - set(arrived)
    duplicated = sum(count - 1 for count in arrived.values())
    bound = drill.kills * SESSIONS
    figures = {
        "seed": seed,
        "nodes killed": drill.kills,
        "primaries lost": ROUNDS,
        "acknowledged": len(ledger.acknowledged),
        "uncertain": len(ledger.uncertain),
        "lost": len(lost),
        "duplicated": duplicated,
        "in flight at most": bound,
        "accepting again after, s": drill.accepted_after,
        "delivering again after, s": drill.delivered_after,
    }
    with capsys.disabled():
        print("\n" + json.dumps(figures))
    assert not lost
    assert duplicated <= bound
    assert set(arrived) <= ledger.acknowledged | ledger.uncertain
    assert max(drill.delivered_after) < RESUME_SECONDS * PATIENCE
