"""Figures in Mandrill's words: what counts as sent, bounced or rejected, and the spans of days they are told for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

Moment = tuple[datetime, Mapping[str, int]]
"""The beginning of an hour or a day, and what happened in it: counts by label of the event's kind."""

SPANS: Final = (("today", 1), ("last_7_days", 7), ("last_30_days", 30), ("last_60_days", 60), ("last_90_days", 90))
"""Days of each span, today's among them."""

_COUNTED: Final = {
    "sent": ("delivered",),
    "hard_bounces": ("bounced", "returned"),
    "soft_bounces": ("expired",),
    "rejects": ("suppressed",),
    "complaints": ("complained",),
    "unsubs": ("opted_out",),
}
_WATCHED: Final = dict.fromkeys(("opens", "unique_opens", "clicks", "unique_clicks"), 0)


def stats(counted: Iterable[Mapping[str, int]]) -> dict[str, Any]:
    """The sums of what happened; nobody is watched."""
    whole = list(counted)
    sums = {
        word: sum(counts.get(label, 0) for counts in whole for label in labels) for word, labels in _COUNTED.items()
    }
    return {**sums, **_WATCHED}


def stats_by_span(moments: Sequence[Moment], midnight: datetime, spans: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """The sums of each span that ends with the day that began at `midnight`."""
    return {
        name: stats(counts for at, counts in moments if at >= midnight - timedelta(days=days - 1))
        for name, days in spans
    }
