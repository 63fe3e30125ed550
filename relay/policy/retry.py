"""When to try again: the configured waits, the last one repeated, jitter added; and when to stop. Pure.

RFC 5321 §4.5.4.1: early retries first (greylisting), then growing delays, given up after four or five days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """`waits` between attempts, the last one repeating; up to `jitter` (a share of the wait) is added at random."""

    waits: Sequence[timedelta]
    jitter: float

    @property
    def longest(self) -> tuple[timedelta, ...]:
        """The longest wait after each attempt, jitter and all; the last one repeats."""
        return tuple(base * (1 + self.jitter) for base in self.waits)

    def wait(self, attempts: int, chance: float) -> timedelta:
        """How long to wait after the `attempts`-th attempt (from 1); `chance` is uniform in [0, 1)."""
        base = self.waits[min(max(attempts, 1), len(self.waits)) - 1]
        return base * (1 + self.jitter * chance)
