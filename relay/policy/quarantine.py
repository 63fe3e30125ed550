"""What is done with mail whose handling broke on our side: an exception of ours, or the death of its worker. Pure.

The spool counts such tries in a row. A message that really breaks us is held after `TRIES` of them; mail that was
merely in hand when its worker died must never be. So what was counted once is noted in the spool when its handling
begins, and what was counted twice is handled alone: the third count needs proof that it was this very message. A
worker that somebody killed proves nothing: what was in its hands rests for a while instead, longer each time.
"""

from __future__ import annotations

from datetime import timedelta
from enum import Enum
from typing import Final

TRIES: Final = 3
"""Broken tries in a row after which a delivery is held, for a person to look at."""


KILLS: Final = 12
"""The same where its workers were killed each time: some three quarters of an hour of rests, so that kills which are
none of its doing do not come to it, and what has every node killed does not go on for ever."""

_FIRST_REST: Final = timedelta(seconds=10)
_LONGEST_REST: Final = timedelta(minutes=10)


class Death(Enum):
    """How a worker's life ended that did not retire."""

    BROKE = "broke"
    """Of itself: a signal of its own fault, an exit, no memory left, or its watchdog."""
    KILLED = "killed"
    """By somebody, or with its machine, or nobody knows: no fault of the mail that it had in hand."""


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


def is_held(broken: int, death: Death) -> bool:
    """Whether that many counts are enough, the last by this death."""
    return broken >= (TRIES if death is Death.BROKE else KILLS)


def rest(broken: int) -> timedelta:
    """How long a delivery waits after a death by which it was counted so often, and not held."""
    if broken < TRIES:
        return timedelta()
    return min(_FIRST_REST * (1 << (broken - TRIES)), _LONGEST_REST)


def why_held(broken: int) -> str:
    """The cause, as the event and the alarm tell it."""
    return f"quarantined: its handling broke on our side {broken} times in a row"
