"""The values of reports: which figures are asked for, and the rows that answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class By(StrEnum):
    """What rows of a report are told apart by."""

    HOUR = "hour"
    DAY = "day"
    TENANT = "tenant"
    STREAM = "stream"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """Figures of [since, until), whole hours, told apart by `by`; None and "" do not restrict."""

    since: datetime
    until: datetime
    by: tuple[By, ...] = (By.DAY,)
    tenant: int | None = None
    stream: str | None = None
    provider: str | None = None
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One row; `at` is the beginning of its hour or day, None when rows are not told apart by time.

    `counts` is by label of the event's kind; `reasons` tells of those kinds that have reasons how often each was.
    """

    at: datetime | None
    tenant: str | None
    stream: str | None
    provider: str | None
    counts: Mapping[str, int]
    reasons: Mapping[str, Mapping[str, int]]
