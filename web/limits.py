"""Limits per sender and per recipient, in memory only (S17, S53).

Addresses are counted under an HMAC whose key is made at start and never leaves memory, so that nothing that
could be read later says who wrote. The table is bounded; when it is full, the oldest entries are dropped.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.ids import Entropy
from web.mailbox import mailbox_of

_KEY: Final = 32
MAX_TRACKED: Final = 50_000


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` within `span`."""

    count: int
    span: timedelta


PER_SENDER: Final = Limit(5, timedelta(hours=1))
PER_RECIPIENT: Final = Limit(3, timedelta(days=1))
PREVIEWS: Final = Limit(60, timedelta(minutes=10))
"""Checks of an address by one sender: enough for somebody who cannot type, too few to search with."""


class LetterLimits:
    """Counts letters by sender and by recipient, and previews by sender, each within a sliding window."""

    def __init__(self, clock: Clock, entropy: Entropy, tracked: int = MAX_TRACKED) -> None:
        self._key = entropy.bytes(_KEY)
        # Two tables: what previews put in must push no letter out.
        self._letters = _Windows(clock, tracked)
        self._previews = _Windows(clock, tracked)

    def take(self, sender: bytes, recipient: str) -> timedelta | None:
        """Count one letter; None if it may go, else how long to wait. A refused letter is not counted."""
        pairs = ((PER_SENDER, b"sender " + sender), (PER_RECIPIENT, b"recipient " + mailbox_of(recipient).encode()))
        return self._letters.take([(limit, self._hidden(what)) for limit, what in pairs])

    def take_preview(self, sender: bytes) -> timedelta | None:
        """Count one preview; None if it may be made, else how long to wait."""
        return self._previews.take([(PREVIEWS, self._hidden(b"preview " + sender))])

    def _hidden(self, what: bytes) -> bytes:
        return hmac.digest(self._key, what, hashlib.sha256)[:16]


class _Windows:
    """When each key was counted last; at most `tracked` keys."""

    def __init__(self, clock: Clock, tracked: int) -> None:
        self._clock = clock
        self._tracked = tracked
        self.times: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()

    def take(self, keys: Sequence[tuple[Limit, bytes]]) -> timedelta | None:
        """Count one under all `keys`, or under none and say how long to wait."""
        now = self._clock.monotonic()
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
        self.times[key] = (*self._recent(limit, key, now), now)
        self.times.move_to_end(key)
        if len(self.times) > self._tracked:
            self.times.popitem(last=False)

    def _recent(self, limit: Limit, key: bytes, now: float) -> tuple[float, ...]:
        since = now - limit.span.total_seconds()
        return tuple(at for at in self.times.get(key, ()) if at > since)
