"""The page Warm-up: each young source's ceiling against what is used of it, and what its last days were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from aiohttp import web

from relay.admin.chart import Chart, stacked
from relay.admin.frame import Frame
from relay.policy.warm_up import DAY, Results, today
from relay.shaping.contract import WarmUpView

DAYS: Final = 14
_KINDS: Final = ("delivered", "deferred", "bounced")


@dataclass(frozen=True, slots=True)
class Day:
    """What a day brought."""

    date: date
    results: Results


@dataclass(frozen=True, slots=True)
class Warming:
    """A warm-up with its last days, the oldest first, and their chart."""

    view: WarmUpView
    days: tuple[Day, ...]
    chart: Chart

    @property
    def share(self) -> float | None:
        """The part of today's ceiling that is used, at most 1; None: there is no ceiling."""
        return None if self.view.ceiling is None else min(1.0, self.view.used / self.view.ceiling)


class WarmUpPage:
    """GET /admin/warm-up."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._records = frame.records

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page. Raises SpoolUnavailableError."""
        now = self._parts.clock.now()
        last = today(now.timestamp())
        known = await self._records.warm_ups.days(last - DAYS + 1)
        warming = [warmed(view, known.get(view.row, {}), last) for view in await self._records.warm_ups.views()]
        young = [one for one in warming if one.view.ceiling is not None]
        values = {"young": young, "warm": [one.view for one in warming if one.view.ceiling is None], "span": DAYS}
        return self._frame.page(request, "warm-up", "warm_up.html", values)


def warmed(view: WarmUpView, known: Mapping[int, Results], last: int) -> Warming:
    """A warm-up over its last days, those without mail too; days are counted from the epoch."""
    days = tuple(Day(_date(day), known.get(day, Results())) for day in range(last - DAYS + 1, last + 1))
    chart = stacked({kind: [getattr(day.results, kind) for day in days] for kind in _KINDS})
    return Warming(view, days, chart)


def _date(day: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=day * DAY)).date()
