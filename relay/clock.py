"""The clock: the one source of wall time and of monotonic time.

Everything that needs the time gets a `Clock` through its constructor, so that the engine also runs in
simulated time. Wall time is for what is stored and shown; time-outs and lease margins use the monotonic
time, which never jumps. Times in the spool are integers: milliseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Clock(Protocol):
    """Tells the time; `SystemClock` is the real one."""

    def now(self) -> datetime:
        """The wall time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; never goes backward."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def has_come(moment: datetime, now: datetime, furthest: timedelta) -> bool:
    """Whether a stored time to act has come.

    What lies further ahead than anybody ever waits was written by a clock that was set back since (R27).
    """
    return not now < moment <= now + furthest


def to_millis(moment: datetime) -> int:
    """Milliseconds since the epoch; a naive datetime raises TypeError."""
    return (moment - _EPOCH) // _MILLISECOND


def from_millis(millis: int) -> datetime:
    """The aware UTC datetime of `millis` milliseconds since the epoch."""
    return _EPOCH + timedelta(milliseconds=millis)
