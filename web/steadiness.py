"""Whether the wall clock may be believed by whoever deletes: what a clock that is ahead deletes is gone for good.

Beside the courier's rounds. A clock that was set, by a person or by the time of a network, has jumped against the one
that only counts. For a day after that nothing is deleted and no wait for a person ends, so that a clock that was wrong
for a while costs neither sealed records nor held letters. A machine that slept looks the same, and loses nothing.
"""

from __future__ import annotations

from datetime import timedelta
from math import inf
from typing import Final

from relay.clock import Clock
from relay.log import Log

JUMP: Final = timedelta(hours=1)
"""What is less changes nothing that is kept for days."""
SETTLED_AFTER: Final = timedelta(days=1)

_log = Log("courier")


class Steadiness:
    """Looks at both clocks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen = clock.now(), clock.monotonic()
        self._settled = -inf

    def look(self) -> bool:
        """Whether the wall clock has not jumped for a day, as far as it was looked at."""
        now, counted = self._clock.now(), self._clock.monotonic()
        jump = now - self._seen[0] - timedelta(seconds=counted - self._seen[1])
        self._seen = now, counted
        if abs(jump) > JUMP:
            self._settled = counted + SETTLED_AFTER.total_seconds()
            remedy = "set the clock right within a day: nothing of the front is deleted until then"
            _log.error("clock-jumped", seconds=round(jump.total_seconds()), remedy=remedy)
        return counted >= self._settled
