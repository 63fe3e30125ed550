"""The queue's depth over time, as rows: each five minutes for two days, each hour for ninety. SQL of every database.

Written by whoever of all nodes comes first in a stretch of five minutes; the others change nothing. An hour keeps the
most that was counted in it, so that no peak is averaged away. At most 2,800 rows, however long a relay runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection


class Span(IntEnum):
    """Seconds that a row stands for."""

    SHORT = 300
    HOUR = 3600

    @property
    def length(self) -> timedelta:
        """The same as a time."""
        return timedelta(seconds=self.value)


KEPT_BY_SPAN: Final = {Span.SHORT: timedelta(days=2), Span.HOUR: timedelta(days=90)}


@dataclass(frozen=True, slots=True)
class Depth:
    """Unfinished deliveries by state, and the age of the oldest (nought for none), at or since `at`."""

    at: datetime
    waiting: int
    leased: int
    held: int
    oldest: timedelta

    @property
    def unfinished(self) -> int:
        """All that was owed."""
        return self.waiting + self.leased + self.held


_MOST: Final = ", ".join(
    f"{column} = CASE WHEN excluded.{column} > queue_depth.{column} THEN excluded.{column}"
    f" ELSE queue_depth.{column} END"
    for column in ("waiting", "leased", "held", "oldest")
)
_INSERT: Final = "INSERT INTO queue_depth (span, at, waiting, leased, held, oldest) VALUES (?, ?, ?, ?, ?, ?)"


def is_noted(connection: Connection, moment: datetime) -> bool:
    """Whether anybody counted in the five minutes of a moment."""
    key = (Span.SHORT.value, _beginning(moment, Span.SHORT))
    return bool(list(connection.execute("SELECT 1 FROM queue_depth WHERE span = ? AND at = ?", key)))


def note_depth(connection: Connection, depth: Depth) -> None:
    """Keep what was counted, unless somebody did in the same five minutes."""
    values = (depth.waiting, depth.leased, depth.held, round(depth.oldest.total_seconds()))
    short = (Span.SHORT.value, _beginning(depth.at, Span.SHORT))
    connection.execute(f"{_INSERT} ON CONFLICT (span, at) DO NOTHING", (*short, *values))
    if connection.changes() == 1:
        hour = (Span.HOUR.value, _beginning(depth.at, Span.HOUR))
        connection.execute(f"{_INSERT} ON CONFLICT (span, at) DO UPDATE SET {_MOST}", (*hour, *values))


def depths(connection: Connection, span: Span, since: datetime) -> Sequence[Depth]:
    """The rows of a span that begin at a moment or later, the oldest first."""
    query = "SELECT at, waiting, leased, held, oldest FROM queue_depth WHERE span = ? AND at >= ? ORDER BY at"
    return [
        Depth(from_millis(at), waiting, leased, held, timedelta(seconds=oldest))
        for at, waiting, leased, held, oldest in connection.execute(query, (span.value, to_millis(since)))
    ]


def forget_depths(connection: Connection, now: datetime) -> None:
    """Delete what is older than is kept."""
    for span, kept in KEPT_BY_SPAN.items():
        query = "DELETE FROM queue_depth WHERE span = ? AND at < ?"
        connection.execute(query, (span.value, to_millis(now - kept - span.length)))


def _beginning(moment: datetime, span: Span) -> int:
    millis = to_millis(moment)
    return millis - millis % (span.value * 1000)
