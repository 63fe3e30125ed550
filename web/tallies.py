"""Counts over the front's own tables, for the pages that tell how the service is doing; nobody is named in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection, Database
from web.audit import read_entry
from web.disclosure import Requests, count_requests
from web.history import WAITS
from web.letter_table import NEVER
from web.letters import Ending

SPAN: Final = timedelta(days=90)
"""How far back letters are counted; their rows are not kept longer."""

_ENDINGS: Final = "SELECT COALESCE(ending, ''), COUNT(*) FROM web_letter WHERE created >= ? GROUP BY 1"
# As they stood when the week began, for `_REPORTS`' reason: one that was let go may be the letter just sent.
_DECISIONS: Final = "SELECT action, COUNT(*) FROM web_decision WHERE at >= ? AND at < ? GROUP BY 1"
_RULES: Final = (
    "SELECT rules, COUNT(*) FROM web_letter WHERE created >= ? AND ending = 'refused' AND rules <> '' GROUP BY 1"
)
_LATE_AFTER: Final = timedelta(minutes=15)
"""A letter that waits so much longer than its writer was told is late."""

# A letter that a ceiling holds back, or that found no relay to ask, has a new due time and no attempt.
_BEHIND: Final = """
SELECT COUNT(*), MIN(COALESCE(promised, due)), MIN(due) FROM web_handover
WHERE held_until IS NULL AND due < ? AND COALESCE(promised, due) < ?
"""
_NOTICES: Final = "SELECT COALESCE(outcome, ''), COUNT(*) FROM web_notice WHERE at >= ? GROUP BY 1"
# As they stood when the week began, like the weeks of `web.charts`: who makes reports of their own until one is wanting
# to the next step of five would learn day by day whether the next one came from the reader of their letter.
_REPORTS: Final = """
SELECT CASE WHEN EXISTS (
  SELECT 1 FROM web_decision d WHERE d.subject = r.letter_id AND d.action = r.outcome AND d.at < ?
) THEN r.outcome ELSE '' END, COUNT(*) FROM web_report r WHERE r.at >= ? AND r.at < ? GROUP BY 1
"""
_AUDIT: Final = "SELECT entry FROM web_audit WHERE at >= ?"
_PROGRAM: Final = "SELECT rule, CAST(SUM(letters) AS BIGINT) FROM web_ruling_count WHERE day >= ? GROUP BY 1"
_REFUSING: Final = """
SELECT number FROM web_day_count WHERE what = 'refusing' AND day >= ?
ORDER BY CASE WHEN day <= ? THEN 0 ELSE 1 END, CASE WHEN day <= ? THEN -day ELSE day END LIMIT 1
"""
# Of those alone whose writers know: who sends a letter would see on a page for all that one more is held.
_HELD: Final = """
SELECT COUNT(*), MIN(held_until) FROM web_handover
WHERE held_until IS NOT NULL AND held_for NOT IN ('pile-on', 'report')
"""


@dataclass(frozen=True, slots=True)
class Tallies:
    """What was counted."""

    letters: int
    """Letters sent within `SPAN`, however they ended."""
    endings: Mapping[Ending, int]
    """Those that ended before the relay had them."""
    decisions: Mapping[str, int]
    """What people decided before this week, by action."""
    rules: Mapping[str, int]
    """Refusals by a person, by rule."""
    behind: int
    """Letters that should have left a quarter of an hour ago or earlier, whatever keeps them here."""
    held: int
    """Letters that wait for a person."""
    first_decision_due: datetime | None
    """When the one of them that waited longest goes back."""
    behind_since: datetime | None = None
    """When the one of those that waits longest should have left."""
    next_try: datetime | None = None
    """When the first of them is tried again."""
    notices: Mapping[str, int] = field(default_factory=dict)
    """Notices of unlawful content, by what was decided; "" for those that wait."""
    reports: Mapping[str, int] = field(default_factory=dict)
    """Recipients' reports, likewise, as they stood when the week began (Monday, UTC)."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Letters that the program refused at the form, by rule."""
    refusing: int | None = None
    """Addresses that get no letters because their owners said so, as counted when the week began or before, else at
    the first look; None if nobody has told."""
    decided_within: timedelta | None = None
    """Half of what people decided about waited no longer; None if nothing did."""
    disclosures: Mapping[str, int] = field(default_factory=dict)
    """Entries of the audit of sealed records, by what was asked for."""
    requests: Requests = field(default_factory=Requests)
    """What others asked to know of who wrote a letter."""


class DatabaseTallies:
    """Counts over the front's tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, now: datetime) -> Tallies:
        """Count what stands in the tables at `now`. Raises SpoolUnavailableError."""
        since = (to_millis(now - SPAN),)
        week = to_millis(now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=now.weekday()))

        def work(connection: Connection) -> Tallies:
            endings = _counts(connection, _ENDINGS, since)
            [(held, until)] = connection.execute(_HELD)
            [(behind, behind_since, next_try)] = connection.execute(_BEHIND, (NEVER, to_millis(now - _LATE_AFTER)))
            audit = [read_entry(entry) for (entry,) in connection.execute(_AUDIT, since)]
            refusing = [number for (number,) in connection.execute(_REFUSING, (*since, week, week))]
            waits = [wait for _, wait in connection.execute(WAITS, since * 3)]
            return Tallies(
                letters=sum(endings.values()),
                endings={Ending(name): count for name, count in endings.items() if name},
                decisions=_counts(connection, _DECISIONS, (*since, week)),
                rules=_by_rule(_counts(connection, _RULES, since)),
                behind=behind,
                held=held,
                first_decision_due=_moment(until),
                behind_since=_moment(behind_since),
                next_try=_moment(next_try),
                notices=_counts(connection, _NOTICES, since),
                reports=_counts(connection, _REPORTS, (week, *since, week)),
                refused=_counts(connection, _PROGRAM, since),
                refusing=refusing[0] if refusing else None,
                decided_within=timedelta(milliseconds=max(0, median(waits))) if waits else None,
                disclosures=Counter(said["action"] for said in audit),
                requests=count_requests(audit),
            )

        return await self._database.read(work)


def _counts(connection: Connection, sql: str, bindings: tuple[Any, ...]) -> dict[str, int]:
    return dict(connection.execute(sql, bindings))


def _moment(millis: int | None) -> datetime | None:
    return None if millis is None else from_millis(millis)


def _by_rule(refusals: Mapping[str, int]) -> dict[str, int]:
    """A refusal may name several rules: it counts for each."""
    found: Counter[str] = Counter()
    for names, count in refusals.items():
        for name in names.split():
            found[name] += count
    return dict(found)
