"""The complaint brake: when a stream's complaints slow or stop it, judged with care for small numbers. Pure.

Providers judge a sender by complaints among what they delivered: under 0.1 % is asked for, 0.3 % is never forgiven
(P04). So each provider's figures are judged, and all of them together; the worst decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final


class Level(StrEnum):
    """What the brake does."""

    FREE = "free"
    SLOW = "slow"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class BrakeRules:
    """Rates that slow and stop, and what is counted."""

    slow: float = 0.001
    stop: float = 0.003
    enough: int = 500
    """Deliveries from which on the plain rate is believed; below, only what chance does not explain."""
    doubt: float = 0.05
    """How often chance alone may give as many complaints or more: a one-sided bound of 95 %."""
    window: timedelta = timedelta(days=7)
    per_minute: int = 60
    """What a slowed stream may send from one node."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Deliveries and complaints of one provider ("" = all) in the window."""

    provider: str
    delivered: int
    complaints: int

    @property
    def rate(self) -> float:
        """Complaints among deliveries."""
        return self.complaints / max(self.delivered, self.complaints, 1)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the brake does, and the figures that decided."""

    level: Level
    sample: Sample

    def __str__(self) -> str:
        whose = f" at {self.sample.provider}" if self.sample.provider else ""
        return f"{self.sample.complaints} complaints among {self.sample.delivered} deliveries{whose}"


_LEAST: Final = {Level.SLOW: 2, Level.STOP: 3}
"""Complaints below which no rate counts: one angry reader is no pattern."""

_ORDER: Final = (Level.FREE, Level.SLOW, Level.STOP)


def judge(samples: Iterable[Sample], rules: BrakeRules) -> Judgement:
    """The worst of the samples."""
    worst = Judgement(Level.FREE, Sample("", 0, 0))
    for sample in samples:
        level = level_of(sample, rules)
        if (_ORDER.index(level), sample.rate) > (_ORDER.index(worst.level), worst.sample.rate):
            worst = Judgement(level, sample)
    return worst


def level_of(sample: Sample, rules: BrakeRules) -> Level:
    """What one sample's figures ask for."""
    for level, limit in ((Level.STOP, rules.stop), (Level.SLOW, rules.slow)):
        if sample.complaints >= _LEAST[level] and _reaches(sample, limit, rules):
            return level
    return Level.FREE


def harsher(old: Level, new: Level) -> bool:
    """Whether `new` brakes more than `old`: the brake never lets go by itself."""
    return _ORDER.index(new) > _ORDER.index(old)


def _reaches(sample: Sample, limit: float, rules: BrakeRules) -> bool:
    if sample.delivered >= rules.enough:
        return sample.rate >= limit
    return at_least(sample.complaints, max(sample.delivered, sample.complaints), limit) < rules.doubt


def at_least(complaints: int, delivered: int, rate: float) -> float:
    """The chance of so many complaints or more if each delivery has one with probability `rate`."""
    below = sum(
        math.comb(delivered, count) * rate**count * (1 - rate) ** (delivered - count) for count in range(complaints)
    )
    return max(0.0, 1.0 - below)
