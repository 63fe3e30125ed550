"""Reports over HTTP: the caller's figures by hour or day, stream and provider, for the last year."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, WithJsonSchema

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.operation import Operation, json_answer
from relay.api.problem import FieldError, Problem, invalid
from relay.api.query import Query, read_query
from relay.figures.book import FigureBook
from relay.figures.contract import By, ReportQuery

MOST: Final = 20_000
"""Combinations read for one answer; more are asked for in parts."""

_LAST: Final = timedelta(days=7)
_PARTS: Final = (By.HOUR, By.DAY, By.STREAM, By.PROVIDER)


def _parts(value: object) -> object:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError("write what rows are told apart by")
    if unknown := [name for name in names if name and name not in _PARTS]:
        raise ValueError(f"there is no {str(unknown[0])[:40]!r}; there are {', '.join(_PARTS)}")
    return tuple(By(name) for name in names if name)


Parts = Annotated[
    tuple[By, ...],
    BeforeValidator(_parts),
    WithJsonSchema({"type": "array", "items": {"type": "string", "enum": list(_PARTS)}}),
]


class ReportsQuery(Query):
    """Which figures are wanted."""

    since: AwareDatetime | None = Field(None, description="From this hour on; none: seven days before `until`.")
    until: AwareDatetime | None = Field(None, description="To this time; none: to the end of this hour.")
    by: Parts = Field((By.DAY,), description="What rows are told apart by, separated by commas; empty: one row.")
    stream: str | None = Field(None, max_length=64)
    provider: str | None = Field(None, max_length=64)


class ReportLine(BaseModel):
    """One row: `at` begins its hour or day. Counts are of events; `reasons` says how often each was given."""

    at: datetime | None
    stream: str | None
    provider: str | None
    counts: dict[str, int] = Field(description="By kind of event: accepted counts messages, all others deliveries.")
    reasons: dict[str, dict[str, int]]


class ReportAnswer(BaseModel):
    """A report in order of time."""

    since: datetime
    until: datetime
    rows: list[ReportLine]


class Reports:
    """The operation on figures."""

    def __init__(self, dependencies: ApiDependencies, figures: FigureBook) -> None:
        self._figures = figures
        self._clock = dependencies.clock

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        return (
            Operation(
                "getReports",
                "GET",
                "/api/v1/reports",
                "The caller's figures: accepted, delivered, deferred, bounced by reason, complaints and more.",
                ReportAnswer,
                (401, 422, 429, 503),
                keyed=self.get,
                query=ReportsQuery,
            ),
        )

    async def get(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """A report."""
        query = read_query(request, ReportsQuery)
        if isinstance(query, Problem):
            return query
        until = query.until or self._clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        since = query.since or until - _LAST
        if since > until:
            return invalid(FieldError("since", "this is after until"))
        wanted = ReportQuery(since, until, query.by, identity.tenant, query.stream, query.provider, MOST)
        rows = await self._figures.report(wanted)
        lines = [
            ReportLine(
                at=row.at,
                stream=row.stream,
                provider=row.provider,
                counts=dict(row.counts),
                reasons={label: dict(told) for label, told in row.reasons.items()},
            )
            for row in rows
        ]
        return json_answer(ReportAnswer(since=since, until=until, rows=lines))
