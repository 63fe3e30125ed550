"""The throttle of password guessing: how many wrong answers an address or an account may give (S15).

A guess is counted before it is checked and given back when it was right, so a thousand guesses at once do
not slip through together. Who was right before, from the same address under the same name, has a count of
its own: neither a neighbour behind the same address nor a stranger who guesses at the name can lock a
working client out. Memory is bounded: past `capacity` keys the oldest is forgotten. Each worker counts for
itself.
"""

from __future__ import annotations

from relay.clock import Clock
from relay.peers import client_block


class GuessThrottle:
    """`limit` wrong guesses within `window` seconds close an address or a name until the window ends."""

    def __init__(self, clock: Clock, *, limit: int = 20, window: float = 3600.0, capacity: int = 20_000) -> None:
        self._clock = clock
        self._limit = limit
        self._window = window
        self._capacity = capacity
        self._counts: dict[str, tuple[int, float]] = {}
        self._known: dict[str, None] = {}

    def take(self, peer: str, name: str) -> tuple[str, ...] | None:
        """Count one guess; None when none is left. What comes back goes to `right` or `unchecked`, or nowhere."""
        pair = f"{client_block(peer)} {_name_key(name)}"
        keys = (pair,) if pair in self._known else (client_block(peer), _name_key(name))
        now = self._clock.monotonic()
        if any(self._count(key, now) >= self._limit for key in keys):
            return None
        for key in keys:
            if key not in self._counts and len(self._counts) >= self._capacity:
                del self._counts[next(iter(self._counts))]
            count, began = self._counts.get(key, (0, now))
            self._counts[key] = (count + 1, began)
        return keys

    def unchecked(self, keys: tuple[str, ...]) -> None:
        """The guess could not be checked, so it does not count."""
        for key in keys:
            count, began = self._counts.get(key, (0, 0.0))
            if count > 1:
                self._counts[key] = (count - 1, began)
            else:
                self._counts.pop(key, None)

    def right(self, keys: tuple[str, ...], peer: str, name: str) -> None:
        """The guess was right: it does not count, and the pair of address and name is known from now on."""
        self.unchecked(keys)
        pair = f"{client_block(peer)} {_name_key(name)}"
        self._known.pop(pair, None)
        if len(self._known) >= self._capacity:
            del self._known[next(iter(self._known))]
        self._known[pair] = None

    def _count(self, key: str, now: float) -> int:
        count, began = self._counts.get(key, (0, now))
        if now - began >= self._window:
            del self._counts[key]
            return 0
        return count


def _name_key(name: str) -> str:
    """Names that do not exist are counted alike."""
    return f"as {name[:256]}"
