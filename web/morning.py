"""Tomorrow morning, where the service is at home: when a letter leaves that is not to leave now. Pure.

A letter that leaves hours after it was written, at a departure drawn by lot, says nothing of when its writer sat down.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from web.departures import EVERY

FROM: Final = 7
UNTIL: Final = 9
"""Hours of the day between which letters leave, the second not included."""


def zone_of(name: str) -> tzinfo:
    """The time zone `name`; for UTC a machine needs no list of them. Raises ZoneInfoNotFoundError, ValueError."""
    return UTC if name == "UTC" else ZoneInfo(name)


def tomorrow_morning(now: datetime, zone: tzinfo, chance: float) -> datetime:
    """A departure between seven and nine of the day after `now` in `zone`; `chance`, 0 to below 1, says which."""
    every = EVERY // timedelta(minutes=1)
    minutes = int((UNTIL - FROM) * 60 * chance) // every * every
    day = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(day, time(FROM + minutes // 60, minutes % 60), zone).astimezone(UTC)
