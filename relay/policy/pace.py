"""Pace: how many sessions a path may have now, from what it showed. Pure.

The window starts small, grows by one a success up to the limit, and halves when hosts cannot be reached.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

START: Final = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """`window` sessions of at most `limit` (this worker's share of the path's connections)."""

    limit: int
    window: int

    def succeeded(self) -> Pace:
        """After a transaction that the far side took."""
        return self if self.window >= self.limit else replace(self, window=self.window + 1)

    def refused_beyond(self, sessions: int) -> Pace:
        """After the far side turned one session away while `sessions` others were served."""
        return replace(self, window=max(1, min(self.window, sessions)))

    def failed(self) -> Pace:
        """After no host could be reached."""
        return replace(self, window=max(1, self.window // 2))


def starting_pace(limit: int) -> Pace:
    """The pace of a path nothing is known of."""
    return Pace(limit, min(START, limit))
