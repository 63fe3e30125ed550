"""Limits per sender and per recipient, in memory only (S17, S53).

Addresses are counted under an HMAC whose key is made at start and never leaves memory, so that nothing that
could be read later says who wrote. The table is bounded; when it is full, the oldest entries are dropped.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.ids import Entropy

_KEY: Final = 32
MAX_TRACKED: Final = 50_000


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` letters within `span`."""

    count: int
    span: timedelta


PER_SENDER: Final = Limit(5, timedelta(hours=1))
PER_RECIPIENT: Final = Limit(3, timedelta(days=1))


class LetterLimits:
    """Counts letters by sender and by recipient, each within a sliding window."""

    def __init__(self, clock: Clock, entropy: Entropy, tracked: int = MAX_TRACKED) -> None:
        self._clock = clock
        self._key = entropy.bytes(_KEY)
        self._tracked = tracked
        self._times: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()

    def take(self, sender: bytes, recipient: str) -> timedelta | None:
        """Count one letter; None if it may go, else how long to wait. A refused letter is not counted."""
        now = self._clock.monotonic()
        pairs = ((PER_SENDER, b"sender " + sender), (PER_RECIPIENT, b"recipient " + recipient.casefold().encode()))
        keys = [(limit, hmac.digest(self._key, what, hashlib.sha256)[:16]) for limit, what in pairs]
        waits = [self._wait(limit, key, now) for limit, key in keys]
        if any(wait > 0 for wait in waits):
            return timedelta(seconds=math.ceil(max(waits)))
        for limit, key in keys:
            self._count(limit, key, now)
        return None

    def _wait(self, limit: Limit, key: bytes, now: float) -> float:
        recent = self._recent(limit, key, now)
        return recent[-limit.count] + limit.span.total_seconds() - now if len(recent) >= limit.count else 0.0

    def _count(self, limit: Limit, key: bytes, now: float) -> None:
        self._times[key] = (*self._recent(limit, key, now), now)
        self._times.move_to_end(key)
        if len(self._times) > self._tracked:
            self._times.popitem(last=False)

    def _recent(self, limit: Limit, key: bytes, now: float) -> tuple[float, ...]:
        since = now - limit.span.total_seconds()
        return tuple(at for at in self._times.get(key, ()) if at > since)
