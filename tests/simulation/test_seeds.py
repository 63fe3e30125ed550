"""The engine in simulated time, with faults from a seed: the promise holds, and everything drains.

`LEAK_SIMULATION_SEEDS` sets how many seeds run; `python -m tests.simulation --seeds 10000` runs more on all cores.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

import pytest

from tests.simulation.options import Fault, Options
from tests.simulation.world import run_options, run_seed

SEEDS = int(os.environ.get("LEAK_SIMULATION_SEEDS", "100"))
TOGETHER = 20


def doubtful_disk(seed: int, workers: int, window: int, faults: Sequence[tuple[float, int, float, float]]) -> Options:
    """A world whose disk keeps commits and reports them failed (2), or cannot be read (3), again and again."""
    return Options(
        seed=seed,
        workers=workers,
        messages=50,
        providers=6,
        retry=("2s",),
        expire_after="5d",
        window=window,
        idempotent=0.0,
        gone=0.0,
        faults=(
            *(Fault(at, "disk", kind, seconds, degree) for at, kind, seconds, degree in faults),
            Fault(5.0, "habits", 0, 60.0, 0.6),
            Fault(90.0, "habits", 1, 60.0, 0.6),
        ),
    )


FOUND = {
    "claims that were kept and reported failed were leased for ever": doubtful_disk(
        1, 1, 20, [(at, 2, 12.0, 1.0) for at in (20.0, 60.0, 100.0, 140.0)]
    ),
    "results and unused leases that were settled twice ended later leases": doubtful_disk(
        2, 1, 10, [(7.0 * number, 2 + number % 2, 9.0, 0.5) for number in range(30)]
    ),
}
"""Worlds that once showed a defect, by what it was."""


@pytest.mark.parametrize("first", range(0, SEEDS, TOGETHER))
def test_the_promise_holds_whatever_a_seed_brings(first: int) -> None:
    # R15, R16, R17, R18, R19, R23, R27, R33
    for seed in range(first, min(first + TOGETHER, SEEDS)):
        result = run_seed(seed)
        assert result.ok, json.dumps(result.shown(), indent=1)
        assert result.accepted > 0


@pytest.mark.parametrize("defect", FOUND)
def test_what_was_found_once_stays_away(defect: str) -> None:
    result = run_options(FOUND[defect])
    assert result.ok, json.dumps(result.shown(), indent=1)
