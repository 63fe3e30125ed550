"""How many letters the program refused at the form, by rule and day: for /transparency. Nothing else of them is kept.

Counted in memory and added to the table once a minute, so that a flood of refused letters costs no writes; what a
process has counted since then is lost when it ends. A letter that is shown again, in another language for one, counts
once.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from relay.clock import Clock, to_millis
from relay.database.contract import Database
from relay.database.statements import change

KEPT: Final = timedelta(days=400)
_REMEMBERED: Final = 2000
_ADD: Final = """
INSERT INTO web_ruling_count (day, rule, letters) VALUES (?, ?, ?)
ON CONFLICT (day, rule) DO UPDATE SET letters = web_ruling_count.letters + excluded.letters
"""


class RulingCounts:
    """Counts. `flush` and `forget` raise SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._counts: Counter[tuple[int, str]] = Counter()

    def note(self, letter_id: str, rules: Iterable[str]) -> None:
        """A letter is refused by these rules."""
        if letter_id in self._seen:
            return
        self._seen[letter_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        day = to_millis(self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0))
        self._counts.update((day, rule) for rule in rules)

    async def flush(self) -> None:
        """Add what was counted to the table."""
        counted, self._counts = self._counts, Counter()
        if not counted:
            return
        rows = [(day, rule, letters) for (day, rule), letters in counted.items()]
        try:
            await self._database.write(lambda connection: connection.executemany(_ADD, rows))
        except BaseException:
            self._counts.update(counted)
            raise

    async def forget(self) -> None:
        """Delete what is past its time."""
        before = to_millis(self._clock.now() - KEPT)
        await change(self._database, ("DELETE FROM web_ruling_count WHERE day < ?", (before,)))
