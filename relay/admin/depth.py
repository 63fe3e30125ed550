"""The queue's depth over time, for the pages: the kept rows as stretches, their chart and their table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relay.admin.chart import Areas, areas
from relay.figures.depths import Depth, Span

KINDS: Final = ("waiting", "leased", "held")


@dataclass(frozen=True, slots=True)
class View:
    """How far back is drawn: `length` a step of the drawing, `row` of the table; both are whole rows of `span`."""

    name: str
    title: str
    reach: timedelta
    span: Span
    length: timedelta
    row: timedelta
    written: str
    """How a row's beginning is written."""


_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
DAY: Final = View("day", "24 hours", _DAY, Span.SHORT, _HOUR / 12, _HOUR, "%d %H:%M")
VIEWS: Final = (
    View("days", "2 days", 2 * _DAY, Span.SHORT, _HOUR / 6, _HOUR, "%d %H:%M"),
    View("quarter", "90 days", 90 * _DAY, Span.HOUR, 6 * _HOUR, _DAY, "%Y-%m-%d"),
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The most that was counted in a time; None: nobody counted, since no node ran."""

    begins: datetime
    depth: Depth | None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart with its table, the latest row first, and the deepest that was counted.

    Both begin with the first count: a young node's time before it says nothing.
    """

    view: View
    chart: Areas
    rows: tuple[Stretch, ...]
    deepest: Depth | None
    begins: datetime
    is_whole: bool
    """Whether there are counts from the beginning of the view's reach on."""

    @property
    def is_flat(self) -> bool:
        """Whether there is nothing to draw: the queue was empty whenever it was counted, without a gap."""
        return not self.chart.unknown and not any(self.chart.outlines.values())


def drawn(view: View, rows: Sequence[Depth], now: datetime) -> Drawn:
    """What is shown of the rows up to now."""
    whole = stretches(rows, now, view.reach, view.length)
    steps = _known(whole)
    known = [[None if one.depth is None else getattr(one.depth, kind) for one in steps] for kind in KINDS]
    return Drawn(
        view=view,
        chart=areas(dict(zip(KINDS, known, strict=True))),
        rows=tuple(reversed(_known(stretches(rows, now, view.reach, view.row)))),
        deepest=max(rows, key=lambda one: one.unfinished, default=None),
        begins=steps[0].begins if steps else now,
        is_whole=whole[0].depth is not None,
    )


def stretches(rows: Sequence[Depth], now: datetime, reach: timedelta, length: timedelta) -> list[Stretch]:
    """The time up to now in stretches of one length, the oldest first, each with the most that was counted in it."""
    last = now - timedelta(seconds=now.timestamp() % length.total_seconds())
    first = last - reach + length
    found: list[list[Depth]] = [[] for _ in range(reach // length)]
    for one in rows:
        place = (one.at - first) // length
        if 0 <= place < len(found):
            found[place].append(one)
    return [Stretch(first + n * length, _most(ones)) for n, ones in enumerate(found)]


def _known(found: Sequence[Stretch]) -> Sequence[Stretch]:
    """From the first on that was counted; without the running one, as long as its count may be about to come."""
    first = next((n for n, one in enumerate(found) if one.depth is not None), len(found))
    known = found[first:]
    comes = len(known) > 1 and known[-1].depth is None and known[-2].depth is not None
    return known[:-1] if comes else known


def _most(ones: Sequence[Depth]) -> Depth | None:
    if not ones:
        return None
    waiting, leased, held = (max(getattr(one, kind) for one in ones) for kind in KINDS)
    return Depth(ones[0].at, waiting, leased, held, max(one.oldest for one in ones))
