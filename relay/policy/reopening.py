"""Reopening: when a path that was closed by "too many" is asked whether it takes mail again. Pure.

Under `relay.policy.rate`. How long a far side sulks is not known; each time it did, it is known better: it sulked no
longer than the shortest time after which it took mail again, and longer than what it was still refused after. What it
refuses while our own mail may still fill its window says nothing of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 1800.0
PAUSE_GROWTH: Final = 1.3
PAUSE_PART: Final = 0.2
"""A later question comes after this part of the time that has passed: the answer is overslept by no more."""


@dataclass(slots=True)
class Reopening:
    """What is known of how long one path stays closed. Times are seconds."""

    shortest: float = inf
    """After so long it took mail again."""
    longest: float = 0.0
    """After so long it did not."""
    pause: float = 0.0
    """The wait before the next question."""
    fills: float = 0.0
    """How long after the last closing our own mail may have been too much still."""
    closed_at: float = 0.0

    def closed(self, now: float, gap: float, fills: float) -> None:
        """The path closed; one message came every `gap` seconds (0: not evenly)."""
        self.closed_at, self.fills = now, fills
        if self.shortest == inf:
            self.pause = FIRST_PAUSE
        elif self.longest:
            self.pause = self.longest + 0.6 * (self.shortest - self.longest)
        else:
            self.pause = max(FIRST_PAUSE, 2 * gap, self.shortest / 8)
        self.pause = min(self.pause, LONGEST_PAUSE)

    def refused(self, now: float) -> None:
        """It was asked, and refused."""
        passed = now - self.closed_at
        if passed > self.fills:
            self.longest = max(self.longest, passed)
            if self.longest >= self.shortest:
                self.shortest = inf  # it sulks longer than it did
        if passed < self.shortest < inf:
            # It takes mail after the shortest time at the latest, unless our own fills its window still.
            self.pause = self.shortest - passed if self.longest else max(self.pause * 2, FIRST_PAUSE)
            self.pause = min(self.pause, max(self.shortest - passed, FIRST_PAUSE))
        else:
            self.pause = min(self.pause * PAUSE_GROWTH, max(PAUSE_PART * passed, FIRST_PAUSE))
        self.pause = min(max(self.pause, PAUSE_PART / 2 * passed), LONGEST_PAUSE)

    def opened(self, at: float) -> float:
        """It takes mail again: how long that lasted."""
        lasted = at - self.closed_at
        self.shortest = min(self.shortest, lasted)
        if self.longest >= self.shortest:
            self.longest = 0.0  # it sulks less long than it did
        return lasted
