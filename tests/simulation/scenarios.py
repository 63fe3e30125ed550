"""Scenarios of sizes and durations that no test on real time can have, each with figures, a chart and a verdict.

- `outage`: one provider of three is unreachable for a day.
- `storm`: half of all sessions end in 421 or a reset, for hours (R23).
- `cold-pool`: a provider that trusts a new sender with ten letters a minute, and with more the better it behaves.
- `orange`: three workers, one of which is killed again and again, and a provider that has two connections for us.
- `backlog`: a queue of ten thousand deliveries, or of more, under faults (`long_queue.py`; R34).
- `warm-up`: two weeks of a new source (`warm_up.py`); `--messages` is letters a day to each of its two providers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.simulation.chart import Span
from tests.simulation.invariants import WHOLE_EVERY
from tests.simulation.ledger import Ledger
from tests.simulation.long_ledger import LongLedger
from tests.simulation.long_queue import backlog
from tests.simulation.loop import VirtualLoop
from tests.simulation.provider import ProviderRules
from tests.simulation.stage import HOUR, Stage, Story
from tests.simulation.warm_up import warm_up
from tests.simulation.world import World, settings_of, spool_folder, watched_log


async def outage(stage: Stage) -> dict[str, Any]:
    """A day without one provider: nothing bounces, the others do not notice, and the rest leaves when it is back."""
    one, two, gone = stage.provider("one.example"), stage.provider("two.example"), stage.provider("gone.example")
    stage.groups = {"the other two": [one, two], "gone.example": [gone]}
    stage.spans.append(Span("gone.example cannot be reached", 2 * HOUR, 26 * HOUR))
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
    begun = sum(line[1] for line in stage.flow.lines["begun"])
    stage.must(states == {"delivered": stage.messages}, f"every letter arrives: {states}")
    tries = stage.world.spoolcheck.attempts()
    stage.must(tries <= 3 * stage.messages, f"{tries} attempts are more than three a letter")
    return {"hours_to_empty": round(hours, 2), "attempts": tries, "delivered": attempts, "transactions": round(begun)}


async def cold_pool(stage: Stage) -> dict[str, Any]:
    """A provider doubles what it takes every two hours without trouble, and halves it after trouble."""
    rules = ProviderRules("cold.example", 5, 10, 60, 300, 421, "4.7.0 unusual rate of mail from a new sender")
    cold = stage.provider("cold.example", rules)
    stage.flow.add("allowed", 0, rules.per_minute)
    feeder = asyncio.create_task(_never_empty(stage, "cold.example"))
    earlier = cold.tally.copy()
    while stage.world.loop.time() < 24 * HOUR:
        await stage.watch(stage.world.loop.time() + 2 * HOUR, 120)
        now = cold.tally.copy()
        seen, earlier = now.since(earlier), now
        good = seen.refused_by_rate <= 0.05 * max(1, seen.attempts) and seen.delivered > 0
        rate = min(160.0, rules.per_minute * 2) if good else max(10.0, rules.per_minute / 2)
        stage.flow.add("allowed", stage.world.loop.time(), rules.per_minute)
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
    """Two connections for all workers together (config/providers.toml), whoever lives."""
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
    most = two.tally.most_sessions
    stage.must(most <= 2, f"{most} sessions to Orange at once")
    return {
        "hours_to_empty": round(hours, 2),
        "most_sessions_orange": two.tally.most_sessions,
        "most_sessions_other": free.tally.most_sessions,
    }


@dataclass(frozen=True, slots=True)
class Plot:
    """A scenario: its course, its title, and its usual numbers of letters and workers."""

    course: Callable[[Stage], Awaitable[dict[str, Any]]]
    title: str
    messages: int
    workers: int = 1
    ledger: Callable[[], Ledger] = Ledger
    warm_up: str = ""
    """The day on which the source begins to warm up; "": it is warm."""


SCENARIOS: Final = {
    "outage": Plot(outage, "A provider is unreachable for a day", 1500),
    "storm": Plot(storm, "Half of all sessions end in 421 or a reset", 600),
    "cold-pool": Plot(cold_pool, "A new sender at a provider that learns to trust it", 2000),
    "orange": Plot(orange, "Three workers share two connections to Orange, one is killed again and again", 1000, 3),
    "backlog": Plot(backlog, "A long queue, under faults", 10_000, 2, LongLedger),
    "warm-up": Plot(warm_up, "A new source warms up before two providers", 600, warm_up="2026-11-21"),
}


def play(name: str, seed: int, messages: int | None = None, workers: int | None = None, **delivery: Any) -> Story:
    """Run a scenario to its end; `delivery` are settings of that section in place of the defaults."""
    plot = SCENARIOS[name]
    workers = workers or plot.workers
    loop = VirtualLoop()
    with spool_folder() as folder:
        settings = settings_of(folder, workers, plot.warm_up, **delivery)
        world = World(loop, folder, seed, settings, workers, plot.ledger())
        world.spoolcheck.whole_every = max(20 * WHOLE_EVERY, (messages or plot.messages) // 20)
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
    shown = {**figures, "failures": list(failures)}
    return Story(plot.title, shown, failures, stage.panels, tuple(stage.spans))
