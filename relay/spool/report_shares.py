"""Aggregate reports as rows: kept within their shares, counted by day, domain and reporter. SQL of every database.

A row with an empty reporter is the sum of its domain's day; one with an empty domain counts what was about no domain
of ours. Who reported is forgotten after two days, the sums after as long as the reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relay.clock import to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.policy.report_share import OF_DOMAIN, OF_REPORTER, Share, fits

REPORTS_KEPT: Final = timedelta(days=400)
DAY: Final = 86_400_000
"""In milliseconds."""
NOT_OURS: Final = "a report about no domain that we send from: counted, not kept"
ENOUGH: Final = "a report beyond what is kept a day: counted, not kept"

_EVERYBODY: Final = ""
_NOBODYS: Final = ""
_ADD: Final = (
    "INSERT INTO report_share (day, domain, reporter, reports, octets, declined) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (day, domain, reporter) DO UPDATE SET reports = report_share.reports + excluded.reports,"
    " octets = report_share.octets + excluded.octets, declined = report_share.declined + excluded.declined"
)


@dataclass(frozen=True, slots=True)
class PackedReport:
    """An aggregate report as it is stored; `domain` "" = about nobody we send for, `reporter` brought it."""

    form: str
    domain: str
    digest: str
    content: bytes
    reporter: str


@dataclass(frozen=True, slots=True)
class Declined:
    """Reports that were counted and not kept: about domains that are not ours, and beyond a share."""

    not_ours: int
    beyond: int


def keep_report(connection: Connection, packed: PackedReport, now: int) -> str:
    """Keep a report if it fits; else why not. One that was kept before is not counted again."""
    day = now // DAY
    if not packed.domain:
        _add(connection, (day, _NOBODYS, _EVERYBODY), 0, 0, 1)
        return NOT_OURS
    size = len(packed.content)
    # The domain's row is written before it is judged by: on PostgreSQL whoever comes at once waits for it here.
    _add(connection, (day, packed.domain, _EVERYBODY), 0, 0, 0)
    if not _has_room(connection, (day, packed.domain, _EVERYBODY), OF_DOMAIN, size) or not _has_room(
        connection, (day, packed.domain, packed.reporter), OF_REPORTER, size
    ):
        _add(connection, (day, packed.domain, _EVERYBODY), 0, 0, 1)
        return ENOUGH
    connection.execute(
        "INSERT INTO aggregate_report (form, domain, digest, at, content) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (packed.form, packed.domain, packed.digest, now, packed.content),
    )
    if connection.changes() == 1:
        for reporter in (_EVERYBODY, packed.reporter):
            _add(connection, (day, packed.domain, reporter), 1, size, 0)
    return ""


def forget_shares(connection: Connection, now: int, before: int) -> None:
    """Delete who reported before yesterday, and sums from before a moment."""
    connection.execute("DELETE FROM report_share WHERE day < ? AND reporter <> ''", (now // DAY - 1,))
    connection.execute("DELETE FROM report_share WHERE day < ?", (before // DAY,))


async def declined_reports(database: Database, since: datetime) -> Declined:
    """What was not kept since a day. Raises SpoolUnavailableError."""
    query = (
        "SELECT CAST(coalesce(sum(CASE WHEN domain = '' THEN declined ELSE 0 END), 0) AS BIGINT),"
        " CAST(coalesce(sum(CASE WHEN domain = '' THEN 0 ELSE declined END), 0) AS BIGINT)"
        " FROM report_share WHERE day >= ? AND reporter = ''"
    )
    day = to_millis(since) // DAY
    ((not_ours, beyond),) = await rows_of(database, query, (day,))
    return Declined(not_ours, beyond)


def _has_room(connection: Connection, key: tuple[int, str, str], share: Share, size: int) -> bool:
    query = "SELECT reports, octets FROM report_share WHERE day = ? AND domain = ? AND reporter = ?"
    rows = list(connection.execute(query, key))
    reports, octets = rows[0] if rows else (0, 0)
    return fits(share, reports, octets, size)


def _add(connection: Connection, key: tuple[int, str, str], reports: int, octets: int, declined: int) -> None:
    connection.execute(_ADD, (*key, reports, octets, declined))
