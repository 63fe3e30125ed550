"""The page Today: what happened in the last day, what waits, how long mail took, what failed and why, and the alarms.

Every figure is read from the database, so it survives restarts and is the sum over all workers and nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web

from relay.admin.chart import stacked
from relay.admin.depth import DAY, drawn
from relay.admin.frame import Frame
from relay.admin.remembered import Remembered
from relay.admin.standing import read_standing
from relay.figures.contract import By, ReportQuery, ReportRow
from relay.spool.lately import Failure, Lately

HOURS: Final = 24
BARS: Final = ("delivered", "deferred", "bounced", "expired")
MOST_REPLIES: Final = 10
NEW: Final = timedelta(hours=1)
"""How young a reply is that is told as new."""

COMPLAINTS: Final = (0.001, 0.003)
"""Parts of the delivered mail: from the first on providers warn, from the second on they refuse (Google, Yahoo)."""


@dataclass(frozen=True, slots=True)
class Hour:
    """What happened in an hour."""

    begins: datetime
    accepted: int
    delivered: int
    deferred: int
    bounced: int
    expired: int


@dataclass(frozen=True, slots=True)
class Rates:
    """Counts of some mail, and the parts that matter; None where there is nothing to take a part of."""

    name: str
    delivered: int
    deferred: int
    bounced: int
    expired: int
    complained: int

    @property
    def deferral(self) -> float | None:
        """Of all results, those that were put off."""
        return _part(self.deferred, self.delivered + self.deferred + self.bounced + self.expired)

    @property
    def hard_bounce(self) -> float | None:
        """Of what was delivered or refused for good, what was refused."""
        return _part(self.bounced, self.delivered + self.bounced)

    @property
    def complaint(self) -> float | None:
        """Of what was delivered, what was complained about."""
        return _part(self.complained, self.delivered)

    @property
    def alarming(self) -> str:
        """What the complaints amount to: "", "warning" or "too many"."""
        part = self.complaint or 0.0
        return "too many" if part >= COMPLAINTS[1] else "warning" if part >= COMPLAINTS[0] else ""


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """Replies that are alike: how many, since when, and whether they were never seen before the last hour."""

    count: int
    newest: Failure
    first: datetime
    new: bool


class TodayPage:
    """GET /admin."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._records = frame.records
        figures, clock = frame.records.figures, frame.parts.clock
        self._figures = Remembered(self._read_figures, clock)
        self._depths = Remembered(lambda: figures.depths(DAY.span, clock.now() - DAY.reach), clock)

    async def _read_figures(self) -> tuple[list[ReportRow], list[ReportRow]]:
        """The figures of the day by hour and by provider; those of many tenants are many rows to sum."""
        first = _first_hour(self._parts.clock.now())
        asked = [ReportQuery(first, first + timedelta(hours=HOURS), (by,)) for by in (By.HOUR, By.PROVIDER)]
        by_hour, by_provider = [await self._records.figures.report(query) for query in asked]
        return by_hour, by_provider

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page. Raises SpoolUnavailableError."""
        now = self._parts.clock.now()
        first = _first_hour(now)
        told, by_provider = await self._figures.get()
        lanes, recent = await self._records.shape.get(), await self._records.recent.get()
        hours = in_hours(told, first)
        values = {
            "standing": await read_standing(self._records),
            "lanes": lanes,
            "oldest": min((lane.oldest for lane in lanes if lane.oldest is not None), default=None),
            "next_due": min((lane.next_due for lane in lanes if lane.next_due is not None), default=None),
            "hours": hours,
            "depth": drawn(DAY, await self._depths.get(), now),
            "chart": stacked(
                {kind: [getattr(hour, kind) for hour in hours] for kind in BARS}, [hour.accepted for hour in hours]
            ),
            "day": rates("all", told),
            "providers": sorted(
                (rates(row.provider or "", [row]) for row in by_provider if row.provider),
                key=lambda one: (-one.delivered - one.deferred - one.bounced - one.expired, one.name),
            ),
            "complaints": COMPLAINTS,
            "recent": recent,
            "most": MOST_REPLIES,
            "about_us": replies([one for one in recent.failures if one.about != "recipient"], recent, now),
            "about_recipients": replies([one for one in recent.failures if one.about == "recipient"], recent, now),
        }
        return self._frame.page(request, "", "today.html", values)


def _first_hour(now: datetime) -> datetime:
    """When the oldest of the hours begins that are shown."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)


def in_hours(rows: Sequence[ReportRow], first: datetime) -> list[Hour]:
    """One value for each hour of the day, those without mail too."""
    by_hour = {row.at: row.counts for row in rows}
    hours: list[Hour] = []
    for number in range(HOURS):
        begins = first + timedelta(hours=number)
        counts = by_hour.get(begins, {})
        hours.append(Hour(begins, *(counts.get(kind, 0) for kind in ("accepted", *BARS))))
    return hours


def rates(name: str, rows: Sequence[ReportRow]) -> Rates:
    """The sums of rows."""
    return Rates(name, *(sum(row.counts.get(kind, 0) for row in rows) for kind in (*BARS, "complained")))


def replies(failures: Sequence[Failure], recent: Lately, now: datetime) -> list[ReplyRow]:
    """The most frequent first; new is what the last hour brought, if what is looked at reaches further back."""
    alike: dict[str, list[Failure]] = {}
    for one in failures:
        alike.setdefault(one.kin, []).append(one)
    judged = recent.reach is not None and recent.reach < now - NEW
    rows = [ReplyRow(len(ones), ones[0], ones[-1].at, judged and ones[-1].at >= now - NEW) for ones in alike.values()]
    return sorted(rows, key=lambda row: (-row.count, row.newest.reply))


def _part(count: int, of: int) -> float | None:
    return count / of if of else None
