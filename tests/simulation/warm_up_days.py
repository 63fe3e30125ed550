"""Two weeks of warm-ups by the policy alone, in a second: `python -m tests.simulation.warm_up_days FILE.svg`.

Beside the scenario `warm-up`, which takes the whole engine through the same in half an hour. More letters come each day
than may leave at first; one of two providers refuses three letters of ten for two days.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from pathlib import Path
from random import Random
from typing import Final

from relay.policy.warm_up import DAY, Answered, Results, Wanted, WarmUp, WarmUpRules, ask, today, turned
from tests.simulation.chart import Panel, write

BEGIN: Final = 20_000
DAYS: Final = 14
LETTERS: Final = 900
"""A day, to each provider."""
STRICT: Final = (5, 7)
RULES: Final = WarmUpRules()


def letters(name: str) -> Iterator[tuple[float, int, int]]:
    """Moment, ceiling and letters of the day so far, for each letter that leaves to a provider."""
    random, state, results = Random(name), WarmUp(0, BEGIN, fell=BEGIN), Results()
    coming = [(BEGIN * DAY + number * DAY / LETTERS, False) for number in range(LETTERS * DAYS)]
    heapify(coming)
    while coming and coming[0][0] < (BEGIN + DAYS) * DAY:
        at, promised = heappop(coming)
        if today(at) != state.day:
            state, results = turned(state, today(at), Answered(results, results), RULES, BEGIN), Results()
        state, (granted,) = ask(state, [Wanted(1, promised)], at, RULES)
        if granted.departs is not None:
            heappush(coming, (granted.departs, True))
            continue
        strict = name == "strict" and STRICT[0] <= state.day - BEGIN < STRICT[1]
        refused = strict and random.random() < 0.3
        results += Results(deferred=1) if refused else Results(delivered=1)
        yield at - BEGIN * DAY, state.ceiling(RULES) or 0, state.used


def panels() -> tuple[Panel, Panel]:
    """Ceilings with what left, and letters an hour."""
    days, hours = Panel("letters of the day, and its ceiling"), Panel("letters an hour")
    for name in ("kind", "strict"):
        hour, count = 0, 0
        for at, ceiling, used in letters(name):
            days.add(f"{name}: ceiling", at, ceiling)
            days.add(f"{name}: left", at, used)
            if int(at // 3600) != hour:
                hours.add(name, hour * 3600.0, count)
                hour, count = int(at // 3600), 0
            count += 1
    return days, hours


if __name__ == "__main__":
    write(Path(sys.argv[1]), "A new source before two providers, one of which is strict for two days", panels())
