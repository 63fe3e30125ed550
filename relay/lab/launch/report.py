"""What the replay tells at its end: the books as a table, and the days as bars. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.lab.launch.ledger import LINES, Ledger
from relay.lab.launch.visitors import Times

_BAR: Final = 40
_BLOCKS: Final = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True, slots=True)
class DayCount:
    """One day: letters written, mails that arrived, and letters that waited at its end."""

    day: int
    written: int
    arrived: int
    waiting: int


def share(values: Sequence[float], part: float) -> float:
    """The `part` quantile of `values` in milliseconds, 0 of none."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def table(ledger: Ledger, seconds: float, times: Times) -> str:
    """The books, and how fast it went."""
    rows = [(name, ledger.places[line]) for line, name in LINES.items() if ledger.places[line]]
    width = max((len(name) for name, _ in rows), default=0)
    lines = [f"  {name:<{width}}  {count:>7,}" for name, count in rows]
    lines += [f"  {'':-<{width}}  {'':->7}", f"  {'written':<{width}}  {ledger.written:>7,}", ""]
    lines.append(f"  mails at the lab's hosts: {ledger.arrived.total():,}, of them twice: {ledger.doubled:,}")
    lines.append(f"  {seconds:,.0f} s, {ledger.written / max(seconds, 1e-9):,.0f} letters a second")
    lines.append(
        f"  answers under this load: GET p95 {share(times.gets, 0.95):,.0f} ms, "
        f"POST p95 {share(times.posts, 0.95):,.0f} ms; asked again {times.retries:,} times"
    )
    return "\n".join(lines)


def bars(days: Sequence[DayCount]) -> str:
    """A bar for each day: what was written, what arrived, what waited at midnight."""
    most = max((max(day.written, day.arrived, day.waiting) for day in days), default=1) or 1
    lines = []
    for day in days:
        for name, value in (("written", day.written), ("arrived", day.arrived), ("waiting", day.waiting)):
            label = f"day {day.day:>2}" if name == "written" else ""
            lines.append(f"  {label:<7}{name:<8} {_bar(value / most):<{_BAR}} {value:>7,}")
    return "\n".join(lines)


def document(ledger: Ledger, days: Sequence[DayCount], seconds: float, times: Times) -> Mapping[str, Any]:
    """The same for programs."""
    return {
        "written": ledger.written,
        "places": dict(ledger.places),
        "kinds": {kind.value: dict(places) for kind, places in ledger.kinds.items()},
        "arrived": ledger.arrived.total(),
        "missing": ledger.missing,
        "doubled": ledger.doubled,
        "seconds": round(seconds, 1),
        "milliseconds": {"get_p95": round(share(times.gets, 0.95), 1), "post_p95": round(share(times.posts, 0.95), 1)},
        "retries": times.retries,
        "days": [
            {"day": day.day, "written": day.written, "arrived": day.arrived, "waiting": day.waiting} for day in days
        ],
    }


def _bar(part: float) -> str:
    eighths = round(part * _BAR * 8)
    return "█" * (eighths // 8) + (_BLOCKS[eighths % 8] if eighths % 8 else "")
