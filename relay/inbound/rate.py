"""How much one stranger may send: mails a minute by client address (IPv6: by /64), in windows of a minute.

Bounded memory: past `capacity` addresses the oldest is forgotten. Each worker counts for itself.
"""

from __future__ import annotations

from collections import OrderedDict

from relay.clock import Clock
from relay.peers import client_block

WINDOW_SECONDS = 60.0


class Rate:
    """At most `limit` mails a minute and address."""

    def __init__(self, limit: int, clock: Clock, capacity: int = 20_000) -> None:
        self._limit = limit
        self._clock = clock
        self._capacity = capacity
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, peer: str) -> bool:
        """Count one mail from `peer`; False if it had its share of this minute."""
        now = self._clock.monotonic()
        peer = client_block(peer)
        began, count = self._windows.pop(peer, (now, 0))
        if now - began >= WINDOW_SECONDS:
            began, count = now, 0
        self._windows[peer] = (began, count + 1)
        if len(self._windows) > self._capacity:
            self._windows.popitem(last=False)
        return count < self._limit
