"""History: how many messages began when, kept in few numbers: fine for what was just now, coarse for what is long ago.

Pure bookkeeping under `relay.policy.rate`. Each level holds at most `WIDTH` buckets; the two oldest of a full level
become one of the next, so a million messages are a few hundred numbers, each known to a sixty-fourth of its age.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final

WIDTH: Final = 64
LEVELS: Final = 16
"""The last level forgets its oldest: some two million messages are remembered."""
GRAIN: Final = 0.02
"""Seconds that the newest buckets cover."""

COUNTED_LESS: Final = 0.96
COUNTED_MORE: Final = 1.01
"""By so much the counts may err."""

Bucket = tuple[float, float, int]
"""First second, last second, messages."""


@dataclass(slots=True)
class History:
    """Levels of buckets, the finest and newest first."""

    levels: list[deque[Bucket]] = field(default_factory=lambda: [deque()])

    def add(self, at: float) -> None:
        """One message began at `at`, which is about now."""
        newest = self.levels[0]
        if newest and at < newest[-1][0] + GRAIN:
            first, last, count = newest[-1]
            newest[-1] = (first, max(last, at), count + 1)
            return
        newest.append((at, at, 1))
        if len(newest) > WIDTH:
            self._carry()

    def _carry(self) -> None:
        for number, level in enumerate(self.levels):
            if len(level) <= WIDTH:
                return
            older, newer = level.popleft(), level.popleft()
            if number + 1 == LEVELS:
                level.appendleft(newer)
                return
            if number + 1 == len(self.levels):
                self.levels.append(deque())
            self.levels[number + 1].append((older[0], newer[1], older[2] + newer[2]))

    def _backwards(self) -> Iterator[Bucket]:
        for level in self.levels:
            yield from reversed(level)

    def count(self, since: float, until: float = inf) -> float:
        """How many began in [since, until); a bucket cut through counts in part."""
        total = 0.0
        for first, last, count in self._backwards():
            if last < since:
                break
            if first >= until:
                continue
            low, high = max(first, since), min(last, until)
            total += count if low == first and high == last else count * (high - low) / (last - first)
        return total

    def begin_of(self, count: int, until: float) -> float:
        """When the last `count` messages that began before `until` started to."""
        left, begin = count, until
        for first, last, many in self._backwards():
            if first >= until:
                continue
            begin = first
            if many >= left:
                return last - (last - first) * left / many
            left -= many
        return begin

    def window_of(self, count: float, until: float) -> tuple[float, float]:
        """How long a window lasts, at least and at most, that was full with `count` messages at `until`."""
        less, more = max(1, int(COUNTED_LESS * count)), int(COUNTED_MORE * count) + 1
        least = (until - self.begin_of(less, until)) * count / less
        most = (until - self.begin_of(more, until)) * count / (more - 1)
        return least, most

    def busiest_start(self, since: float, until: float, pause: float) -> float:
        """The start, from `since` on, of the stretch up to `until` with the most messages a second, `pause` added."""
        best, start, total = 0.0, since, 0
        for first, _, count in self._backwards():
            if first < since:
                break
            total += count
            rate = total / max(until - first + pause, 0.001)
            if rate >= best:
                best, start = rate, first
        return start
