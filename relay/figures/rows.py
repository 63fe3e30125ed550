"""Figures as rows: added in a transaction of the caller's, and summed for reports, in SQL that every database knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from relay.database.contract import Connection
from relay.event import EventKind
from relay.figures.contract import By, ReportQuery, ReportRow
from relay.policy.lessons import Figure

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)

_COLUMNS: Final = {
    By.HOUR: "f.hour",
    By.DAY: "f.hour / 24",
    By.TENANT: "coalesce(t.name, CAST(f.tenant AS TEXT))",
    By.STREAM: "f.stream",
    By.PROVIDER: "f.provider",
}


def hour_of(moment: datetime) -> int:
    """The hour of a moment, in hours since the epoch."""
    return (moment - _EPOCH) // _HOUR


def add_figures(connection: Connection, figures: Mapping[Figure, int]) -> None:
    """Add counts."""
    # In one order, so that two who add at once wait for each other and never in a ring.
    rows = [(*figure, count) for figure, count in sorted(figures.items())]
    connection.executemany(
        "INSERT INTO figure (hour, tenant, stream, provider, kind, reason, count) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (hour, tenant, stream, provider, kind, reason)"
        " DO UPDATE SET count = figure.count + excluded.count",
        rows,
    )


def forget_figures(connection: Connection, before: datetime) -> None:
    """Delete what is older."""
    connection.execute("DELETE FROM figure WHERE hour < ?", (hour_of(before),))


def report(connection: Connection, query: ReportQuery) -> list[ReportRow]:
    """The rows of a report, by time and then by name; at most `limit` combinations are read."""
    parts = list(dict.fromkeys(query.by))
    named = ", ".join(_COLUMNS[part] for part in parts)
    grouped = f"{named}, " if named else ""
    terms: list[str] = ["f.hour >= ?", "f.hour < ?"]
    values: list[Any] = [hour_of(query.since), -((_EPOCH - query.until) // _HOUR)]
    conditions: tuple[tuple[str, Any], ...] = (
        ("f.tenant = ?", query.tenant),
        ("f.stream = ?", query.stream),
        ("f.provider = ?", query.provider),
    )
    for term, value in conditions:
        if value is not None:
            terms.append(term)
            values.append(value)
    rows = connection.execute(
        f"SELECT {grouped}f.kind, f.reason, CAST(sum(f.count) AS BIGINT)"  # noqa: S608 - constants of ours
        f" FROM figure f LEFT JOIN tenant t ON t.id = f.tenant WHERE {' AND '.join(terms)}"
        f" GROUP BY {grouped}f.kind, f.reason ORDER BY {grouped}f.kind, f.reason LIMIT ?",
        (*values, query.limit),
    )
    return _told(parts, rows)


def _told(parts: list[By], rows: Any) -> list[ReportRow]:
    counts: dict[tuple[Any, ...], Counter[str]] = {}
    reasons: dict[tuple[Any, ...], dict[str, Counter[str]]] = {}
    for row in rows:
        key, (kind, reason, count) = tuple(row[: len(parts)]), row[len(parts) :]
        label = EventKind(kind).label
        counts.setdefault(key, Counter())[label] += count
        told = reasons.setdefault(key, {})
        if reason:
            told.setdefault(label, Counter())[reason] += count
    found: list[ReportRow] = []
    for key, counted in counts.items():
        where = dict(zip(parts, key, strict=True))
        at = where.get(By.HOUR)
        if at is None and By.DAY in where:
            at = where[By.DAY] * 24
        found.append(
            ReportRow(
                at=None if at is None else _EPOCH + at * _HOUR,
                tenant=where.get(By.TENANT),
                stream=where.get(By.STREAM),
                provider=where.get(By.PROVIDER),
                counts=dict(counted),
                reasons={label: dict(told) for label, told in reasons[key].items()},
            )
        )
    return found
