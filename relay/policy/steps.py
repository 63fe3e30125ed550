"""Steps: how far the rate of a path is raised, and when it is close enough, by what a refusal would cost. Pure.

Under `relay.policy.rate`, which asks a far side questions by raising its rate. A question takes as long as the far
side's window may be; a wrong one costs the time for which it then refuses everything. Where a refusal is dear, one asks
often and little; where it is cheap, one asks boldly. All times are seconds.
"""

from __future__ import annotations

from typing import Final

NEAR: Final = 1.07
"""A rate this close below a refused one is held: closer would cost refusals and gain nothing."""

NEAR_ENOUGH: Final = 1.1
"""The same where refusals are dear: where they close the path for long, or few messages stand beside each."""

DEAR_SECONDS: Final = 300.0
FEW_A_SECOND: Final = 0.1
SMALL_STEP: Final = 0.06


def bold(question: float, lost: float) -> float:
    """By what factor to raise a rate, if proving it takes `question` and a refusal costs `lost` (0: not known)."""
    return 1 + min(1.0, max(SMALL_STEP, 4 * question / lost)) if lost else 2.0


def slack(question: float, lost: float) -> float:
    """Messages beyond those that fit into the window, before a rate counts as proven: few where they take long."""
    return min(3.0, lost / (20 * question)) if lost else 1.0


def near(per_second: float, lost: float) -> float:
    """How close below a refused rate, as a factor, is close enough."""
    return NEAR_ENOUGH if lost > DEAR_SECONDS or per_second < FEW_A_SECOND else NEAR
