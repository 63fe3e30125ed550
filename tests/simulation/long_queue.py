"""The scenario `backlog`: very many deliveries wait, faults come, and all of it drains (R34).

Five large providers with limits nobody told us get three letters of five, 195 small ones of every speed the rest.
All letters are accepted while the network is away; then the workers start over this queue. For three minutes (a long
queue: a fourth of an hour) faults come, drawn from the seed: kills, kills inside a COMMIT, stops, pauses, DNS, disk,
providers. Then all is healed and must drain. Every commit is checked, as in a seed; what is checked costs the same
however long the queue is.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from random import Random
from typing import Any, Final

from tests.simulation.chart import Span
from tests.simulation.faults import Faults
from tests.simulation.options import SAFETY_SECONDS, Fault, Options, draw_fault
from tests.simulation.provider import Habits, Provider, ProviderRules
from tests.simulation.stage import HOUR, Stage

LARGE: Final = 5
SMALL: Final = 195
LARGE_SHARE: Final = 0.12
"""Of all letters, for each of the large ones."""
LARGE_MINUTES: Final = 40
"""In which a large one would take all of its letters."""

FAULTS: Final = 30
SAFETY: Final = 900.0
"""Seconds in which faults come, of a queue that takes longer than that; a short one has the seeds' three minutes."""
LONG: Final = 50_000
"""Letters from which a queue is long."""

SAMPLE: Final = 10.0
"""Seconds between two points of the chart."""

_TOGETHER: Final = 10_000
_SPARED: Final = ("clock", "operator")
"""Years pass, or letters are cancelled: then not all of them would arrive. The seeds have these."""


async def backlog(stage: Stage) -> dict[str, Any]:
    """Fill the queue, let workers and faults loose on it, heal, drain."""
    random = stage.world.random("backlog")
    _providers(stage, random)
    await _fill(stage)
    stage.sample(SAMPLE)
    before, begun = _memory(), time.perf_counter()
    for node in stage.world.nodes:
        node.start()
    started = stage.world.loop.time()
    while not stage.total().delivered and stage.world.loop.time() < started + HOUR:
        await asyncio.sleep(0.05)
    first = time.perf_counter() - begun
    faults = await _safety(stage, random)
    hours = await stage.drained(48, SAMPLE)
    await faults.end()
    states = stage.world.spoolcheck.states()
    stage.must(states == {"delivered": stage.messages}, f"every letter arrives: {states}")
    tally = stage.total()
    return {
        "real_seconds_to_first_delivery": round(first, 2),
        "hours_to_empty": round(hours + (stage.spans[0].end - stage.spans[0].begin) / HOUR, 2),
        "attempts": stage.world.spoolcheck.attempts(),
        "refused_by_rate": tally.refused_by_rate,
        "commits": stage.world.spoolcheck.commits,
        "events": stage.world.spoolcheck.events,
        "real_seconds": round(time.perf_counter() - begun, 1),
        "processor_seconds": round(time.process_time(), 1),
        "memory_grown_mib": round((_memory() - before) / 1024, 1),
        "memory_mib": round(_memory() / 1024, 1),
        "spool_mib": round((stage.world.folder / "spool.db").stat().st_size / 2**20, 1),
    }


def _providers(stage: Stage, random: Random) -> None:
    per_minute = max(600, round(stage.messages * LARGE_SHARE / LARGE_MINUTES))
    text = "4.7.28 unusual rate of mail; come back later"
    large = [
        stage.provider(
            f"large{n}.example", ProviderRules(f"large{n}.example", 20, per_minute * (1 + n) / 3, 60, 60, 421, text)
        )
        for n in range(LARGE)
    ]
    small = [stage.provider(f"small{n}.example") for n in range(SMALL)]
    for provider in small:
        provider.habits = Habits(random.uniform(0.01, 0.1), 0.1 * 40 ** random.random())
    stage.groups = {"5 large providers": large, "195 small ones": small}


async def _fill(stage: Stage) -> None:
    """Accept all letters while nobody can be reached, and stop the workers."""
    for provider in stage.providers:
        provider.habits.down = "silent"
    domains = _domains(stage.providers)
    for start in range(0, stage.messages, _TOGETHER):
        await stage.backlog.add(list(islice(domains, min(_TOGETHER, stage.messages - start))))
    for node in stage.world.nodes:
        await node.stop()
    for provider in stage.providers:
        provider.habits.down = ""


def _domains(providers: list[Provider]) -> Iterator[str]:
    for number in count():
        if number % 5 < LARGE * LARGE_SHARE * 5:
            yield providers[number // 5 % LARGE].name
        else:
            yield providers[LARGE + number // 5 % SMALL].name


async def _safety(stage: Stage, random: Random) -> Faults:
    """The phase with faults, sampled; then all is healed.

    Operators go on to release what is held: a letter that was in hand at three deaths of its worker (R33).
    """
    world = stage.world
    seconds = SAFETY if stage.messages >= LONG else SAFETY_SECONDS
    faults = Faults(world, _options(stage, random, seconds))
    begun = world.loop.time()
    happening = asyncio.create_task(faults.happen(seconds))
    await stage.watch(begun + seconds, SAMPLE)
    await happening
    faults.heal()
    stage.spans.append(Span("faults", begun, world.loop.time()))
    return faults


def _options(stage: Stage, random: Random, seconds: float) -> Options:
    delivery = stage.world.settings.delivery
    workers = len(stage.world.nodes)
    drawn: list[Fault] = []
    while len(drawn) < FAULTS:
        fault = draw_fault(random, workers, 2 * LARGE)
        if fault.kind not in _SPARED:
            drawn.append(replace(fault, at=fault.at * seconds / SAFETY_SECONDS))
    return Options(
        seed=stage.world.seed,
        workers=workers,
        messages=stage.messages,
        providers=len(stage.providers),
        retry=tuple(map(str, delivery.retry)),
        expire_after=str(delivery.expire_after),
        window=delivery.window,
        idempotent=0.0,
        gone=0.0,
        faults=tuple(drawn),
    )


def _memory() -> int:
    """The most memory this process had so far, in KiB (with the ledger of this simulation in it)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
