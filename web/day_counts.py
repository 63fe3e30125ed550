"""Numbers of a day (UTC) that outlive the letters they count: letters taken, letters held and why, reports.

Each is counted in the transaction of what it counts, so that all nodes see the same and no restart loses any. What is
in other tables as long as here is not repeated: refusals at the form (`web.ruling_counts`), people's decisions.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of

KEPT: Final = timedelta(days=400)
DAY: Final = 86_400_000
"""Milliseconds."""

_COUNT: Final = """
INSERT INTO web_day_count (day, what, kind, number) VALUES (?, ?, ?, 1)
ON CONFLICT (day, what, kind) DO UPDATE SET number = web_day_count.number + 1
"""
_NOTE: Final = "INSERT INTO web_day_count (day, what, kind, number) VALUES (?, ?, '', ?) ON CONFLICT DO NOTHING"
_NOTED: Final = "SELECT number FROM web_day_count WHERE day = ? AND what = ?"


class What(StrEnum):
    """What is counted."""

    LETTERS = "letters"
    """Letters that were taken, however they end."""
    HELD = "held"
    """Those of them that a person had to read first, by `HeldFor`."""
    REPORTS = "reports"
    """Letters that their recipients reported, on the day of the first report."""
    REFUSING = "refusing"
    """How many addresses want no letters, as it stood at the first look of the day."""


def count(connection: Connection, at: int, what: What, kind: str = "") -> None:
    """One more of it at this moment, in milliseconds; in the transaction of what is counted."""
    connection.execute(_COUNT, (at // DAY * DAY, what.value, kind))


class DayCounts:
    """The table. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def today(self) -> date:
        """The day whose numbers grow now."""
        return self._clock.now().date()

    async def has_refusing(self) -> bool:
        """Whether anybody has noted today how many addresses want no letters."""
        day = self._day()
        rows = await rows_of(self._database, _NOTED, (day, What.REFUSING.value))
        return bool(rows)

    async def note_refusing(self, addresses: int) -> None:
        """So many want none today; what somebody else noted stands."""
        values = (self._day(), What.REFUSING.value, addresses)
        await change(self._database, (_NOTE, values))

    async def forget(self) -> None:
        """Delete what is past its time."""
        before = to_millis(self._clock.now() - KEPT)
        await change(self._database, ("DELETE FROM web_day_count WHERE day < ?", (before,)))

    def _day(self) -> int:
        return to_millis(self._clock.now()) // DAY * DAY
