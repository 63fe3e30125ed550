"""When a domain's DMARC policy may become p=reject: after two weeks in which its mail was seen aligned. Pure.

Reports come from strangers and prove nothing, so this only ever proposes. Mail of unknown addresses that is not aligned
is what p=reject is for and does not count against it; mail of addresses that are ours does.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from relay.report.aggregate_reading import DmarcReport

SPAN: Final = timedelta(days=14)
FRESH: Final = timedelta(days=7)
"""Age of the last report above which nothing is known any more."""
ENOUGH_DAYS: Final = 7
"""Days in the span about which somebody must have reported."""
TOLERATED: Final = 0.01
"""Share of a day's own mail that may be unaligned: forwarders break signatures."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Whether to publish p=reject, and why or why not yet."""

    reject: bool
    why: str


def propose(reports: Sequence[DmarcReport], ours: Collection[str], now: datetime) -> Proposal:
    """The proposal for one domain. `ours` are our sending addresses; empty: those that ever sent aligned mail."""
    known = set(ours) or {one.source for report in reports for one in report.sources if one.aligned}
    days: dict[datetime, tuple[int, int]] = {}
    for report in reports:
        mine = [one for one in report.sources if one.source in known]
        middle = datetime.fromtimestamp((report.begin + report.end) / 2, UTC)
        if not mine or middle > now:
            continue
        day = middle.replace(hour=0, minute=0, second=0, microsecond=0)
        aligned, unaligned = days.get(day, (0, 0))
        days[day] = aligned + sum(one.aligned for one in mine), unaligned + sum(one.unaligned for one in mine)
    if not days:
        return Proposal(False, "no report about mail of ours has come")
    if now - max(days) > FRESH + timedelta(days=1):
        return Proposal(False, f"the last report is about {max(days).date()}")
    bad = max((day for day, (good, not_good) in days.items() if not_good > TOLERATED * (good + not_good)), default=None)
    good = sorted(day for day in days if bad is None or day > bad)
    if not good:
        return Proposal(False, f"mail of ours was not aligned on {max(days).date()}")
    since = f"aligned since {good[0].date()}"
    if now - good[0] < SPAN:
        return Proposal(False, f"{since}: p=reject is proposed after {SPAN.days} days")
    recent = [day for day in good if now - day <= SPAN + FRESH]
    if len(recent) < ENOUGH_DAYS:
        return Proposal(False, f"{since}, but reports cover only {len(recent)} of the last days")
    return Proposal(True, f"{since}, by {sum(days[day][0] for day in good)} messages of ours")
