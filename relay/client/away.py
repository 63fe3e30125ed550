"""Whether a relay on another machine is there: after a silence most calls fail at once, and one a moment tries anew.

So pages need not wait for a timeout each, and nothing piles up. Pure but for the clock.
"""

from __future__ import annotations

from typing import Final

from relay.clock import Clock

SHORTEST: Final = 0.5
LONGEST: Final = 5.0
"""Seconds between two tries; a relay that is back is noticed no later."""


class Away:
    """The silences of one relay, as one worker sees them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._next_try = 0.0

    @property
    def is_away(self) -> bool:
        """Whether the last call that ended got no answer."""
        return self._failures > 0

    def may_try(self) -> bool:
        """Whether a call may be made now. While the relay is away, that takes the turn of the next moment."""
        if not self._failures:
            return True
        now = self._clock.monotonic()
        if now < self._next_try:
            return False
        self._next_try = now + self._pause()
        return True

    def answered(self) -> bool:
        """It is there; whether it was away before."""
        was_away, self._failures = self.is_away, 0
        return was_away

    def silent(self) -> bool:
        """No answer came; whether it was there before."""
        was_there = not self.is_away
        self._failures = min(self._failures + 1, 16)
        self._next_try = self._clock.monotonic() + self._pause()
        return was_there

    def _pause(self) -> float:
        return min(SHORTEST * 2.0 ** (self._failures - 1), LONGEST)
