"""What is done with mail whose handling broke on our side: an exception of ours, or the death of its worker. Pure.

The spool counts such tries in a row. A message that really breaks us is held after `TRIES` of them; mail that was
merely in hand when its worker died must never be. So what was counted once is noted in the spool when its handling
begins, and what was counted twice is handled alone: the third count needs proof that it was this very message.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

TRIES: Final = 3
"""Broken tries in a row after which a delivery is held, for a person to look at."""


class Care(Enum):
    """How carefully a delivery is handled."""

    USUAL = "usual"
    NOTED = "noted"
    """The spool is told when its handling begins."""
    ALONE = "alone"
    """The same, and no other suspect of this worker is handled meanwhile."""


def care(broken: int) -> Care:
    """The care for a delivery of which so many tries in a row were broken."""
    if broken <= 0:
        return Care.USUAL
    return Care.NOTED if broken < TRIES - 1 else Care.ALONE


def counts(broken: int, *, begun: bool) -> bool:
    """Whether the death of its worker counts for a delivery; the SQL of both databases says the same."""
    return begun or care(broken) is Care.USUAL


def why_held(broken: int) -> str:
    """The cause, as the event and the alarm tell it."""
    return f"quarantined: its handling broke on our side {broken} times in a row"
