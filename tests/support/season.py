"""Half a year of a busy service, as counts: for pages that draw it."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import sin
from typing import Final

from relay.clock import to_millis
from relay.database.contract import Connection, Database

_COUNT: Final = (
    "INSERT INTO web_day_count (day, what, kind, number) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (day, what, kind) DO UPDATE SET number = excluded.number"
)
_RULING: Final = (
    "INSERT INTO web_ruling_count (day, rule, letters) VALUES (?, ?, ?)"
    " ON CONFLICT (day, rule) DO UPDATE SET letters = excluded.letters"
)


async def put_season(database: Database, now: datetime, days: int = 200) -> None:
    """Each of the last `days` gets its counts; a quiet month lies in the middle."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)

    def work(connection: Connection) -> None:
        refusing = 300
        for n in range(days):
            day = to_millis(midnight - timedelta(days=days - 1 - n))
            letters = 15 if 90 < n < 120 else 40 + 3 * n + int(60 * sin(n / 9))
            refusing += letters // 120
            held = {"rules": letters // 30, "pile-on": 6 if n % 40 == 0 else 0, "school": n % 3}
            counts = [("letters", "", letters), ("reports", "", letters // 90), ("refusing", "", refusing)]
            counts += [("held", why, number) for why, number in held.items() if number]
            connection.executemany(_COUNT, [(day, *one) for one in counts])
            rules = {"bullying": letters // 25, "threat": letters // 60, "hate": n % 2}
            connection.executemany(_RULING, [(day, rule, number) for rule, number in rules.items() if number])

    await database.write(work)
