"""The scenario `warm-up`: a new source before two providers, one of which refuses much of its mail for two days.

Days of the real engine, the real book of warm-ups and the learner whose counts judge the days. More mail is handed in
each day than may leave at first, so there is a queue; it leaves by the ceilings, spread over each day.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from relay.shaping.contract import WarmUpView
from tests.simulation.chart import Panel
from tests.simulation.stage import HOUR, Stage

DAY: Final = 24 * HOUR
DAYS: Final = 13
NOON: Final = 12 * HOUR
"""The simulation begins at noon; days of warm-ups begin at midnight."""
STRICT: Final = (5, 7)
"""From which midnight to which one the strict provider refuses three letters of ten."""
KEEPS: Final = timedelta(days=60)


async def warm_up(stage: Stage) -> dict[str, Any]:
    """Ceilings rise by good days, fall to half or less after bad ones, and are never exceeded."""
    kind, strict = stage.provider("kind.example"), stage.provider("strict.example")
    watch = _Watch(stage)
    feeder = asyncio.create_task(_feed(stage, stage.messages))
    while stage.world.loop.time() < DAYS * DAY - NOON:
        day = int((stage.world.loop.time() + NOON) // DAY)
        strict.habits.defers = 0.3 if STRICT[0] <= day < STRICT[1] else 0.0
        await asyncio.sleep(HOUR / 2)
        await watch.look()
    feeder.cancel()
    await asyncio.gather(feeder, return_exceptions=True)
    stage.panels = (watch.ceilings, watch.queue, watch.hours)
    marks = {provider: "".join(marks) for provider, marks in watch.marks.items()}
    stage.must(not watch.exceeded, f"a ceiling was exceeded: {watch.exceeded}")
    stage.must("b" in marks.get("strict", ""), f"the strict provider's days were judged: {marks}")
    stage.must("b" not in marks.get("kind", "b"), f"the kind one's were not: {marks}")
    return {
        "delivered": kind.tally.delivered + strict.tally.delivered,
        "ceilings_kind": watch.steps["kind"],
        "ceilings_strict": watch.steps["strict"],
        "days": marks,
        "busiest_hour_share": round(watch.busiest, 3),
    }


class _Watch:
    """What is seen of the warm-ups every half hour."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.ceilings = Panel("letters a day: the ceiling, and what left")
        self.queue = Panel("letters that wait for a departure")
        self.hours = Panel("letters in half an hour")
        self.marks: dict[str, list[str]] = {}
        self.steps: dict[str, list[int]] = {}
        self.exceeded: list[str] = []
        self.busiest = 0.0
        self._last: dict[str, WarmUpView] = {}

    async def look(self) -> None:
        world = self._stage.world
        node = world.nodes[0]
        if node.warm_ups is None:
            return
        at = world.loop.time()
        for view in await node.warm_ups.views():
            self._see(view, at)
        world.spoolcheck.committed()
        self.queue.add("waiting", at, world.spoolcheck.open_deliveries())

    def _see(self, view: WarmUpView, at: float) -> None:
        name = "strict" if "strict" in view.key.provider else "kind"
        last = self._last.get(name)
        ceiling = view.ceiling or 0
        if last is None or last.day != view.day:
            self.steps.setdefault(name, []).append(ceiling)
            self.marks.setdefault(name, []).append(view.mark.value[0] if view.mark else "-")
        elif view.used > last.used:
            self.busiest = max(self.busiest, (view.used - last.used) / ceiling)
        if view.used > ceiling:
            self.exceeded.append(f"{name}: {view.used} of {ceiling}")
        same_day = last is not None and last.day == view.day
        self.hours.add(name, at, view.used - (last.used if last is not None and same_day else 0))
        self.ceilings.add(f"{name}: ceiling", at, ceiling)
        self.ceilings.add(f"{name}: left", at, view.used)
        self._last[name] = view


async def _feed(stage: Stage, letters: int) -> None:
    """So many letters a day to each provider, a share of them every ten minutes."""
    owed = 0.0
    while True:
        owed += letters / (DAY / 600)
        many, owed = int(owed), owed - int(owed)
        await stage.backlog.add(["kind.example", "strict.example"] * many, expire_after=KEEPS)
        await asyncio.sleep(600)
