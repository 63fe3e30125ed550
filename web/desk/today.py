"""The desk's first page: what waits, and how the last six weeks went, day by day and exactly."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from aiohttp import web

from web.charts import Charts
from web.desk.frame import DeskParts, Frame, rule_name
from web.history import read_days, together

DAYS: Final = 42


class TodayDesk:
    """Its handler."""

    def __init__(self, parts: DeskParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def today(self, request: web.Request) -> web.StreamResponse:
        """GET /desk."""
        words, today = self._frame.words(request), self._parts.clock.now().date()
        days = await read_days(self._parts.database, today - timedelta(days=DAYS - 1), today)
        charts = Charts(words)
        within = together(today, days).decided_within
        values = {
            "days": DAYS,
            "charts": charts.of_days(days) if days else {},
            "rule_charts": {rule_name(words, rule): one for rule, one in charts.rules_of_days(days).items()},
            "now": days[-1] if days else None,
            "decided_within": "" if within is None else words.about(within),
        }
        return await self._frame.page(request, "today.html", None, values)
