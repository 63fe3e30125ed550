"""Scenarios of sizes and durations that no test on real time can have, each with figures, a chart and a verdict.

- `outage`: one provider of three is unreachable for a day.
- `storm`: half of all sessions end in 421 or a reset, for hours (R23).
- `cold-pool`: a provider that trusts a new sender with ten letters a minute, and with more the better it behaves.
- `orange`: three workers, one of which is killed again and again, and a provider that has two connections for us.
- `backlog`: a queue of a hundred thousand deliveries, or of a million, and what a worker makes of it (R34).
- `warm-up`: two weeks of a new source (`warm_up.py`); `--messages` is letters a day to each of its two providers.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.simulation.chart import Panel
from tests.simulation.loop import VirtualLoop
from tests.simulation.provider import ProviderRules
from tests.simulation.stage import HOUR, Stage
from tests.simulation.warm_up import warm_up
from tests.simulation.world import World, settings_of, spool_folder, watched_log


@dataclass(frozen=True, slots=True)
class Story:
    """What a scenario showed: figures, whether they are as they must be, and a chart."""

    name: str
    figures: dict[str, Any]
    failures: tuple[str, ...]
    panels: tuple[Panel, ...]

    @property
    def ok(self) -> bool:
        """Whether everything was as it must be."""
        return not self.failures


async def outage(stage: Stage) -> dict[str, Any]:
    """A day without one provider: nothing bounces, the others do not notice, and the rest leaves when it is back."""
    one, two, gone = stage.provider("one.example"), stage.provider("two.example"), stage.provider("gone.example")
    every = 30 * HOUR / stage.messages
    sender = asyncio.create_task(_steadily(stage, every))
    await stage.watch(2 * HOUR, 300)
    gone.habits.down = "silent"
    await stage.watch(26 * HOUR, 300)
    waiting = stage.world.spoolcheck.open_deliveries()
    others = one.tally.delivered + two.tally.delivered
    gone.habits.down = ""
    await stage.watch(30 * HOUR, 300)
    await sender
    hours = await stage.drained(12, 300)
    states = stage.world.spoolcheck.states()
    stage.must(states == {"delivered": stage.messages}, f"every letter arrives: {states}")
    return {
        "waiting_at_return": waiting,
        "delivered_by_the_others_until_then": others,
        "hours_from_last_letter_to_empty": round(hours, 2),
        "transactions": stage.total().attempts,
    }


async def _steadily(stage: Stage, every: float) -> None:
    domains = [provider.name for provider in stage.providers]
    for number in range(stage.messages):
        await stage.backlog.add([domains[number % len(domains)]])
        await asyncio.sleep(every)


async def storm(stage: Stage) -> dict[str, Any]:
    """Half of the sessions end in 421 or a reset: all arrives, with at most three times the attempts needed."""
    for number in range(5):
        habits = stage.provider(f"p{number}.example").habits
        habits.ends, habits.resets = 0.3, 0.2
    domains = [provider.name for provider in stage.providers]
    await stage.backlog.add([domains[number % 5] for number in range(stage.messages)])
    hours = await stage.drained(48, 60)
    states, attempts = stage.world.spoolcheck.states(), stage.total().delivered
    begun = sum(line[1] for line in stage.flow.lines["attempts"])
    stage.must(states == {"delivered": stage.messages}, f"every letter arrives: {states}")
    tries = stage.world.spoolcheck.attempts()
    stage.must(tries <= 3 * stage.messages, f"{tries} attempts are more than three a letter")
    return {"hours_to_empty": round(hours, 2), "attempts": tries, "delivered": attempts, "transactions": round(begun)}


async def cold_pool(stage: Stage) -> dict[str, Any]:
    """A provider doubles what it takes every two hours without trouble, and halves it after trouble."""
    rules = ProviderRules("cold.example", 5, 10, 60, 300, 421, "4.7.0 unusual rate of mail from a new sender")
    cold = stage.provider("cold.example", rules)
    stage.flow.lines["allowed"] = []
    feeder = asyncio.create_task(_never_empty(stage, "cold.example"))
    earlier = cold.tally.copy()
    while stage.world.loop.time() < 24 * HOUR:
        await stage.watch(stage.world.loop.time() + 2 * HOUR, 120)
        now = cold.tally.copy()
        seen, earlier = now.since(earlier), now
        good = seen.refused_by_rate <= 0.05 * max(1, seen.attempts) and seen.delivered > 0
        rate = min(160.0, rules.per_minute * 2) if good else max(10.0, rules.per_minute / 2)
        rules = cold.rules = replace(rules, per_minute=rate)
        stage.flow.add("allowed", stage.world.loop.time(), rate)
    feeder.cancel()
    await asyncio.gather(feeder, return_exceptions=True)
    tally = cold.tally
    return {
        "allowed_at_the_end": rules.per_minute,
        "delivered": tally.delivered,
        "refused_by_rate": tally.refused_by_rate,
        "refused_by_rate_share": round(tally.refused_by_rate / max(1, tally.attempts), 4),
    }


async def _never_empty(stage: Stage, domain: str) -> None:
    while True:
        queued = stage.world.spoolcheck.open_deliveries()
        await stage.backlog.add([domain] * max(0, min(stage.messages, 2000) - queued))
        await asyncio.sleep(60)


async def orange(stage: Stage) -> dict[str, Any]:
    """Two connections for all workers together (config/providers.toml), whoever lives: never a third."""
    two = stage.provider("orange.fr")
    free = stage.provider("free.example")
    await stage.backlog.add([("orange.fr", "free.example")[number % 2] for number in range(stage.messages)])
    node = stage.world.nodes[0]
    for _ in range(3):
        await stage.watch(stage.world.loop.time() + 20, 5)
        if node.life is not None:
            node.kill(node.life, 1.0)
    hours = await stage.drained(24, 10)
    states = stage.world.spoolcheck.states()
    stage.must(states == {"delivered": stage.messages}, f"every letter arrives: {states}")
    stage.must(two.tally.most_sessions <= 2, f"{two.tally.most_sessions} sessions to Orange at once")
    return {
        "hours_to_empty": round(hours, 2),
        "most_sessions_orange": two.tally.most_sessions,
        "most_sessions_other": free.tally.most_sessions,
    }


async def backlog(stage: Stage) -> dict[str, Any]:
    """A long queue over 200 domains, handed to workers that start: memory stays flat, and it drains."""
    for number in range(200):
        stage.provider(f"p{number}.example")
    domains = [provider.name for provider in stage.providers]
    for provider in stage.providers:
        provider.habits.down = "silent"
    for start in range(0, stage.messages, 10_000):
        many = min(10_000, stage.messages - start)
        await stage.backlog.add([domains[(start + number) % 200] for number in range(many)])
    for node in stage.world.nodes:
        await node.stop()
    for provider in stage.providers:
        provider.habits.down = ""
    before, begun = _memory(), time.perf_counter()
    for node in stage.world.nodes:
        node.start()
    started = stage.world.loop.time()
    while not stage.total().delivered and stage.world.loop.time() < started + HOUR:
        await asyncio.sleep(0.05)
    first = time.perf_counter() - begun
    hours = await stage.drained(240, 60)
    states = stage.world.spoolcheck.states()
    stage.must(states == {"delivered": stage.messages}, f"every letter arrives: {states}")
    seconds = time.perf_counter() - begun
    return {
        "real_seconds_to_first_delivery": round(first, 2),
        "hours_to_empty": round(hours, 3),
        "real_seconds": round(seconds, 1),
        "memory_grown_mib": round((_memory() - before) / 1024, 1),
        "memory_mib": round(_memory() / 1024, 1),
    }


def _memory() -> int:
    """The most memory this process had so far, in KiB (with the ledger of this simulation in it)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True, slots=True)
class Plot:
    """A scenario: its course, and its usual number of letters."""

    course: Callable[[Stage], Awaitable[dict[str, Any]]]
    messages: int
    warm_up: str = ""
    """The day on which the source begins to warm up; "": it is warm."""


SCENARIOS: Final = {
    "outage": Plot(outage, 1500),
    "storm": Plot(storm, 600),
    "cold-pool": Plot(cold_pool, 2000),
    "orange": Plot(orange, 1000),
    "backlog": Plot(backlog, 100_000),
    "warm-up": Plot(warm_up, 600, "2026-11-21"),
}


def play(name: str, seed: int, messages: int | None = None, workers: int = 1, **delivery: Any) -> Story:
    """Run a scenario to its end; `delivery` are settings of that section in place of the defaults."""
    plot = SCENARIOS[name]
    loop = VirtualLoop()
    with spool_folder() as folder:
        world = World(loop, folder, seed, settings_of(folder, workers, plot.warm_up, **delivery), workers, checks=False)
        world.disk.trouble.seconds = 0.05
        try:
            with watched_log(world.ledger):
                return loop.run_until_complete(_play(name, plot, world, messages or plot.messages))
        finally:
            world.spoolcheck.close()
            loop.close()


async def _play(name: str, plot: Plot, world: World, messages: int) -> Story:
    for node in world.nodes:
        node.start()
    await asyncio.sleep(1.0)
    stage = Stage(world, messages)
    figures = await plot.course(stage)
    await world.stop()
    world.spoolcheck.committed()
    world.spoolcheck.whole()
    lost = world.spoolcheck.lost()
    stage.must(not lost, f"{len(lost)} recipients are lost")
    figures = {
        "scenario": name,
        "messages": messages,
        "simulated_hours": round(world.loop.time() / HOUR, 2),
        **figures,
        "lost": len(lost),
        "duplicates": dict(world.ledger.duplicates),
        "invariants": list(world.ledger.broken) or "held",
    }
    failures = (*stage.failures, *world.ledger.broken)
    return Story(name, {**figures, "failures": list(failures)}, failures, stage.panels)
