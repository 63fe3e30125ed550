"""How many letters leave on a day: the operator's ceiling, counted by all nodes together, days in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database

_LEFT: Final = b"left"
_DAY: Final = timedelta(days=1)
_COUNT: Final = "SELECT count(*) FROM web_use WHERE hash = ? AND at >= ?"
_ADD: Final = "INSERT INTO web_use (hash, at, until) VALUES (?, ?, ?)"


class DayAdmission:
    """At most `most` letters a day; 0 is no ceiling. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, most: int) -> None:
        self._database = database
        self._clock = clock
        self._most = most

    async def take(self) -> datetime | None:
        """Count one letter that leaves now; when to ask again if it may not."""
        if not self._most:
            return None
        now = self._clock.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)

        def work(connection: Connection) -> bool:
            ((left,),) = connection.execute(_COUNT, (_LEFT, to_millis(midnight)))
            if left >= self._most:
                return False
            connection.execute(_ADD, (_LEFT, to_millis(now), to_millis(midnight + 2 * _DAY)))
            return True

        return None if await self._database.write(work) else midnight + _DAY
