"""The moments at which letters leave together, so that no moment is one letter's own: pure.

A moment that is drawn by lot, and would be told to the second by a recipient's mail program, ends at the next full five
minutes, which is also what pages round to. Letters of one moment leave in the order of their ids, which are random.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from web.row import SPREAD

EVERY: Final = timedelta(minutes=5)


def next_departure(at: datetime) -> datetime:
    """The first of them that is not before `at`."""
    late = at.timestamp() % EVERY.total_seconds()
    return at + (EVERY - timedelta(seconds=late)) if late else at


def spread(at: datetime, chance: float) -> datetime:
    """One of those within `SPREAD` after `at`; `chance`, from 0 to below 1, says which."""
    return next_departure(at) + EVERY * int(SPREAD / EVERY * chance)
