"""What came in and what was stopped, day by day and week by week, for the plots of /transparency and the desk (RCP 12).

Days and weeks are those of UTC; a week begins on Monday.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Any, Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection, Database
from web.day_counts import DAY, What
from web.letters import HeldFor

_COUNTS: Final = "SELECT day, what, kind, number FROM web_day_count WHERE day >= ? ORDER BY day"
_BEGAN: Final = "SELECT MIN(day) FROM web_day_count"
_PROGRAM: Final = "SELECT day, rule, letters FROM web_ruling_count WHERE day >= ?"
_PEOPLE: Final = "SELECT at, rules FROM web_decision WHERE at >= ? AND action = 'refuse'"
WAITS: Final = """
SELECT d.at, d.at - l.created FROM web_decision d JOIN web_letter l ON l.id = d.subject
WHERE d.at >= ? AND d.action IN ('release', 'refuse')
UNION ALL SELECT d.at, d.at - r.at FROM web_decision d JOIN web_report r ON r.letter_id = d.subject
WHERE d.at >= ? AND d.action IN ('upheld', 'dismissed')
UNION ALL SELECT decided, decided - at FROM web_notice WHERE decided >= ?
"""
"""When people decided about something, and how long it had waited; the same moment three times."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What happened on a day or in a week."""

    first: date
    """Its first day."""
    letters: int
    """Letters that were taken."""
    held: Mapping[str, int]
    """Those of them that waited for a person, by `HeldFor`."""
    refused: Mapping[str, int]
    """Letters refused, by rule, whether by the program or by a person; one may break several."""
    reports: int
    opt_outs: int | None
    """How many more addresses want no letters at its end than at its beginning, below 0 for fewer: those who refused,
    less those who took that back. None if nobody knows."""
    waits: tuple[timedelta, ...] = ()
    """How long what people decided about then had waited."""

    @property
    def decided_within(self) -> timedelta | None:
        """Half of that had waited no longer; None if nothing was decided."""
        seconds = [wait.total_seconds() for wait in self.waits]
        return timedelta(seconds=median(seconds)) if seconds else None

    @property
    def pile_ons(self) -> int:
        """Letters held because many people wrote to one."""
        return self.held.get(HeldFor.PILE_ON.value, 0)


async def read_days(database: Database, first: date, today: date) -> list[Stretch]:
    """The days from `first` to `today`, but none before anything was counted. Raises SpoolUnavailableError."""
    since = to_millis(datetime(first.year, first.month, first.day, tzinfo=UTC))

    def work(connection: Connection) -> list[Stretch]:
        counted = _Counted(connection, since)
        begins = [from_millis(day).date() for (day,) in connection.execute(_BEGAN) if day is not None]
        if not begins:
            return []
        day = max(first, begins[0])
        return [counted.of(day + timedelta(days=n)) for n in range((today - day).days + 1)]

    return await database.read(work)


def monday(day: date) -> date:
    """The first day of its week."""
    return day - timedelta(days=day.weekday())


def full_weeks(days: Iterable[Stretch], today: date) -> list[Stretch]:
    """The weeks of `days` that are over."""
    weeks: dict[date, list[Stretch]] = defaultdict(list)
    for one in days:
        weeks[monday(one.first)].append(one)
    return [together(first, week) for first, week in weeks.items() if first < monday(today)]


def together(first: date, days: Sequence[Stretch]) -> Stretch:
    """Days as one, from `first` on."""
    held, refused = Counter[str](), Counter[str]()
    for day in days:
        held.update(day.held)
        refused.update(day.refused)
    known = [day.opt_outs for day in days if day.opt_outs is not None]
    return Stretch(
        first=first,
        letters=sum(day.letters for day in days),
        held=held,
        refused=refused,
        reports=sum(day.reports for day in days),
        opt_outs=sum(known) if len(known) == len(days) else None,
        waits=tuple(wait for day in days for wait in day.waits),
    )


class _Counted:
    """The rows of the tables, by day."""

    def __init__(self, connection: Connection, since: int) -> None:
        self._sums: Counter[tuple[int, str]] = Counter()
        self._held: dict[int, Counter[str]] = defaultdict(Counter)
        self._refused: dict[int, Counter[str]] = defaultdict(Counter)
        self._waits: dict[int, list[int]] = defaultdict(list)
        levels: list[tuple[int, int]] = []
        for day, what, kind, number in connection.execute(_COUNTS, (since,)):
            if what == What.HELD:
                self._held[day][kind] += number
            elif what == What.REFUSING:
                levels.append((day, number))
            else:
                self._sums[day, what] += number
        self._opt_outs = growth(levels)
        for day, rule, letters in connection.execute(_PROGRAM, (since,)):
            self._refused[day][rule] += letters
        for at, rules in connection.execute(_PEOPLE, (since,)):
            self._refused[at // DAY * DAY].update(rules.split())
        rows: Iterable[tuple[Any, ...]] = connection.execute(WAITS, (since,) * 3)
        for at, wait in rows:
            self._waits[at // DAY * DAY].append(wait)

    def of(self, day: date) -> Stretch:
        at = to_millis(datetime(day.year, day.month, day.day, tzinfo=UTC))
        return Stretch(
            first=day,
            letters=self._sums[at, What.LETTERS],
            held=self._held.get(at, {}),
            refused=self._refused.get(at, {}),
            reports=self._sums[at, What.REPORTS],
            opt_outs=self._opt_outs.get(at),
            waits=tuple(timedelta(milliseconds=max(0, wait)) for wait in self._waits.get(at, ())),
        )


def growth(levels: Sequence[tuple[int, int]]) -> dict[int, int]:
    """By how much a level grew on each day between its first and its last look.

    All of a gap within a week is told on its last day; of one that is in several, nobody knows in which it grew.
    """
    found: dict[int, int] = {}
    for (day, before), (later, after) in pairwise(levels):
        if _week(day) != _week(later - DAY):
            continue
        found.update(dict.fromkeys(range(day, later, DAY), 0))
        found[later - DAY] = after - before
    return found


def _week(day: int) -> date:
    return monday(from_millis(day).date())
