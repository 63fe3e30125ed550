"""The clock of whoever deletes or gives up: it knows how far the wall time may be ahead of the right one.

What a clock that is ahead deletes is gone for good, and mail that it gives up has bounced. So a wall clock that was put
ahead, against the one that only counts, is not believed for a day: until then what it said before, counted on, stands
beside it, and the earlier of both is asked whether a time is over. A machine that slept, or was off, looks the same:
there everything is kept, and tried, for a day longer.

A process that is started while the clock is wrong learns it from when the one before it was last alive (`heed`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from relay.clock import Clock
from relay.log import Log

JUMP: Final = timedelta(hours=1)
"""What is less changes nothing that is kept for days, and little of what waits for hours."""
BELIEVED_AFTER: Final = timedelta(days=1)
LONG_AWAY: Final = timedelta(days=1)

_REMEDY: Final = (
    "set the clock right within a day if it is wrong: until then nothing is deleted or given up for its age"
)
_log = Log("clock")


class WaryClock:
    """Looks at both hands of another clock whenever it is asked for its lead."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin = self._beginning()
        self._left: list[tuple[float, datetime]] = []
        """Courses that the wall clock left in the last day: when, counted, and where their counting began."""

    @classmethod
    def of(cls, clock: Clock) -> WaryClock:
        """The clock itself if it is one already, so that all of a process look at the same."""
        return clock if isinstance(clock, cls) else cls(clock)

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def lead(self) -> timedelta:
        """How far the wall time may be ahead: nought unless it was put ahead, by more than an hour, within a day."""
        begin, counted = self._beginning(), self._clock.monotonic()
        if abs(begin - self._begin) > JUMP:
            if begin > self._begin:
                _log.error("clock-jumped", seconds=round((begin - self._begin).total_seconds()), remedy=_REMEDY)
            self._leave(counted, self._begin)
        self._begin = begin
        oldest = counted - BELIEVED_AFTER.total_seconds()
        self._left = [(left, course) for left, course in self._left if left > oldest]
        lead = begin - min((course for _, course in self._left), default=begin)
        return lead if lead > JUMP else timedelta()

    def heed(self, alive: datetime | None) -> None:
        """Somebody before us was last alive at this wall time, None if nobody was: we begin from there."""
        away = timedelta() if alive is None else self.now() - alive
        if alive is not None and away > LONG_AWAY:
            _log.warning("clock-doubted", seconds=round(away.total_seconds()), remedy=_REMEDY)
            counted = self._clock.monotonic()
            self._leave(counted, alive - timedelta(seconds=counted))

    def _leave(self, counted: float, course: datetime) -> None:
        # One left earlier that says no less is of no use any more, so that a clock that swings fills no memory.
        self._left = [(left, other) for left, other in self._left if other < course] + [(counted, course)]

    def _beginning(self) -> datetime:
        """When the counting began, by what the wall clock says now."""
        return self._clock.now() - timedelta(seconds=self._clock.monotonic())
