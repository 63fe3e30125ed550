"""The throttle: how many failures a name or an address may have in a while (S15). In memory and bounded.

A try is counted when it begins and forgiven when it succeeds, so that many tries at the same moment cannot
slip through together.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from relay.clock import Clock


@dataclass(slots=True)
class _Count:
    failures: int
    until: float


class Throttle:
    """At most `limit` failures a subject within `window` seconds; remembers `capacity` subjects."""

    def __init__(self, clock: Clock, limit: int, window: float, capacity: int = 10_000) -> None:
        self._clock = clock
        self._limit = limit
        self._window = window
        self._capacity = capacity
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()

    def wait(self, subject: Hashable) -> float:
        """Seconds until `subject` may try again; 0 when it may now."""
        count = self._current(subject)
        if count is None or count.failures < self._limit:
            return 0.0
        return max(0.001, count.until - self._clock.monotonic())

    def count(self, subject: Hashable) -> None:
        """Count a try of `subject` as failed until it is forgiven."""
        count = self._current(subject)
        if count is None:
            while len(self._counts) >= self._capacity:
                self._counts.popitem(last=False)
            count = self._counts[subject] = _Count(0, self._clock.monotonic() + self._window)
        count.failures += 1
        self._counts.move_to_end(subject)

    def forgive(self, subject: Hashable) -> None:
        """Take back one counted try: it succeeded, or nobody could judge it."""
        count = self._counts.get(subject)
        if count is not None and count.failures > 0:
            count.failures -= 1
            if count.failures == 0:
                del self._counts[subject]

    def _current(self, subject: Hashable) -> _Count | None:
        count = self._counts.get(subject)
        if count is not None and count.until <= self._clock.monotonic():
            del self._counts[subject]
            return None
        return count
