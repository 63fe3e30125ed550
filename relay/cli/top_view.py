"""What `leak top` shows: figures as values, and the screen made of them. Pure: values and a size in, lines out.

Plain text: nothing is told by colour. A screen of 80 × 24 has room for every part, a larger one for more lines of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from relay.wording import ago, clean, until

COUNTED: Final = ("accepted", "delivered", "deferred", "bounced", "expired", "refused")
_COLUMNS: Final = {"WAITING": 9, "LEASED": 8, "HELD": 7, "OLDEST": 9, "NEXT": 9}
"""Columns of the queue and their widths."""
_TENANT: Final = 12
_SITE: Final = 32
_WIDE: Final = 110
"""Columns from which on the site is shown."""
_SETTLED: Final[Mapping[str, str]] = {"waiting": "deferred"}
"""States that the settled counter tells by another word than people do."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Unfinished deliveries toward one domain; `tenant` is "" where one tenant's key asks."""

    domain: str
    waiting: int
    leased: int
    held: int
    oldest: datetime | None
    next_due: datetime | None
    tenant: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """The node's counters at a time of the monotonic clock, in seconds, and what it has open just now."""

    at: float
    counts: Mapping[str, float]
    sessions: int
    in_hand: int
    alarms: Mapping[str, int]
    """How many stand, by kind."""


@dataclass(frozen=True, slots=True)
class View:
    """One look. `trouble` says what could not be looked at; `sample` is None when the node does not answer."""

    name: str
    at: datetime
    state: str
    lanes: Sequence[Lane] = ()
    alarms: Sequence[str] = ()
    rests: Sequence[str] = ()
    """Suspensions, brakes and paths that rest."""
    paces: Sequence[str] = ()
    """Paths whose provider limits us, and warm-ups that hold mail."""
    sample: Sample | None = None
    rates: Mapping[str, float] = field(default_factory=dict)
    """A second, since the look before; empty at the first."""
    trouble: str = ""


def read_sample(text: str, at: float) -> Sample:
    """The figures of the node's `/metrics`. Raises ValueError for what is none."""
    counts: dict[str, float] = dict.fromkeys(COUNTED, 0.0)
    gauges: dict[str, float] = {}
    alarms: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            match sample.name:
                case "leak_accepted_total":
                    counts["accepted"] += sample.value
                case "leak_refused_total":
                    counts["refused"] += sample.value
                case "leak_settled_total":
                    state = sample.labels["state"]
                    word = _SETTLED.get(state, state)
                    if word in counts:
                        counts[word] += sample.value
                case "leak_sessions" | "leak_window_deliveries":
                    gauges[sample.name] = gauges.get(sample.name, 0) + sample.value
                case "leak_alarms" if sample.value:
                    alarms[sample.labels["kind"]] = int(sample.value)
                case _:
                    pass
    return Sample(at, counts, int(gauges.get("leak_sessions", 0)), int(gauges.get("leak_window_deliveries", 0)), alarms)


def rates_between(before: Sample | None, after: Sample | None) -> dict[str, float]:
    """What happened a second; counters that went back began anew with the node, and count from zero."""
    if before is None or after is None or after.at <= before.at:
        return {}
    begun = any(after.counts[name] < before.counts[name] for name in COUNTED)
    seconds = after.at - before.at
    return {name: (after.counts[name] - (0 if begun else before.counts[name])) / seconds for name in COUNTED}


def screen(view: View, width: int, height: int | None = None) -> list[str]:
    """The lines, none longer than `width`; `height` of them at most, None = all there are."""
    head = [*_head(view), ""]
    parts = [("alarms", list(view.alarms)), ("resting", list(view.rests)), ("pace", list(view.paces))]
    table = list(_lanes(view.lanes, view.at, width))
    if height is None:
        rooms = [len(lines) for _, lines in parts]
        left = len(table)
    else:
        # Headings and one line of each part stand first; what is left goes to the parts in turn, the queue has half.
        left = max(0, height - len(head) - 2 * len(parts))
        rooms = _rooms([len(lines) for _, lines in parts], left - min(len(table), max(2, left // 2)))
        left -= sum(max(0, room - 1) for room in rooms)
    lines = head
    for (name, entries), room in zip(parts, rooms, strict=True):
        lines.append(f"{name} {len(entries)}" if entries else f"{name} none")
        lines += _at_most(entries, room)
    lines += _at_most(table, max(2, left))
    return [clean(line)[:width].rstrip() for line in lines][:height]


def _rooms(wanted: Sequence[int], room: int) -> list[int]:
    """A line for each part that has any, and the room divided one by one."""
    given = [min(1, count) for count in wanted]
    while room > 0 and any(have < want for have, want in zip(given, wanted, strict=True)):
        for n, want in enumerate(wanted):
            if given[n] < want and room > 0:
                given[n] += 1
                room -= 1
    return given


def _at_most(lines: Sequence[str], room: int) -> list[str]:
    if len(lines) <= room:
        return list(lines)
    if room <= 1:
        return [f"{lines[0]} (and {len(lines) - 1} more)"] if room else []
    return [*lines[: room - 1], f"  … and {len(lines) - room + 1} more"]


def _head(view: View) -> Iterator[str]:
    yield f"leak top  {view.name}  {view.at:%Y-%m-%d %H:%M:%S} UTC  {view.state}"
    if view.trouble:
        yield f"! {view.trouble}"
    if view.sample is None:
        yield "a second  -"
    else:
        told = "  ".join(f"{name} {_rate(view.rates.get(name))}" for name in COUNTED)
        yield f"a second  {told}"
        yield f"now       sessions {view.sample.sessions:,}  in hand {view.sample.in_hand:,}"
    oldest = min((lane.oldest for lane in view.lanes if lane.oldest is not None), default=None)
    waiting, leased, held = (sum(getattr(lane, name) for lane in view.lanes) for name in ("waiting", "leased", "held"))
    yield f"queue     waiting {waiting:,}  leased {leased:,}  held {held:,}  oldest {ago(oldest, view.at)}"


def _rate(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _lanes(lanes: Sequence[Lane], now: datetime, width: int) -> Iterator[str]:
    """The table of domains, the fullest first; the domain gets what the other columns leave."""
    tenants = any(lane.tenant for lane in lanes)
    sites = width >= _WIDE and any(lane.site for lane in lanes)
    fixed = sum(_COLUMNS.values()) + (_TENANT if tenants else 0) + (_SITE if sites else 0)
    wide = max(12, min(40, width - fixed))
    heads = "".join(f"{name:>{columns}}" for name, columns in _COLUMNS.items())
    tenant, site = (f"{'TENANT':<{_TENANT}}" if tenants else ""), ("  SITE" if sites else "")
    yield f"{'DOMAIN':<{wide}}{tenant}{heads}{site}"
    for lane in sorted(lanes, key=lambda one: (-one.waiting - one.leased - one.held, one.domain)):
        numbers = (f"{lane.waiting:,}", f"{lane.leased:,}", f"{lane.held:,}")
        cells = (*numbers, ago(lane.oldest, now), until(lane.next_due, now).removeprefix("in "))
        row = "".join(f"{cell:>{columns}}" for cell, columns in zip(cells, _COLUMNS.values(), strict=True))
        tenant = f"{_cut(lane.tenant, _TENANT - 1):<{_TENANT}}" if tenants else ""
        yield f"{_cut(lane.domain, wide - 1):<{wide}}{tenant}{row}{'  ' + lane.site if sites else ''}"
    if not lanes:
        yield "nothing waits"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
