"""Pace: how many sessions a path may have now, from what it showed. Pure.

The window starts small, grows by one a success up to the limit, and halves when hosts cannot be reached. Where one
session more was refused, it stays below for a while and probes again, later each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

START: Final = 5
FIRST_PROBE: Final = 20
LAST_PROBE: Final = 640


@dataclass(frozen=True, slots=True)
class Pace:
    """`window` sessions of at most `limit` (this worker's share of the path's connections)."""

    limit: int
    window: int
    hold: int = 0
    """Successes to wait for before the window grows again."""
    probe: int = FIRST_PROBE
    """How many the next refusal of a further session will cost."""

    def succeeded(self) -> Pace:
        """After a transaction that the far side took."""
        if self.hold:
            return replace(self, hold=self.hold - 1)
        return self if self.window >= self.limit else replace(self, window=self.window + 1)

    def refused_beyond(self, sessions: int) -> Pace:
        """After the far side turned one session away while `sessions` others were open."""
        window = max(min(1, self.limit), min(self.window, sessions))
        return replace(self, window=window, hold=self.probe, probe=min(2 * self.probe, LAST_PROBE))

    def failed(self) -> Pace:
        """After no host could be reached."""
        return replace(self, window=max(min(1, self.limit), self.window // 2))


def starting_pace(limit: int) -> Pace:
    """The pace of a path nothing is known of."""
    return Pace(limit, min(START, limit))


def within(pace: Pace, limit: int) -> Pace:
    """The pace under another limit."""
    return (
        pace
        if pace.limit == limit
        else replace(pace, limit=limit, window=min(max(pace.window, min(START, limit)), limit))
    )
