"""The page Paths: for each site that has mail, rests or failed lately, what it may get, what stops it, what it said.

An attempt that failed names the exchanger, not its site. One that no site here is named after stands by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from relay.admin.frame import Frame
from relay.admin.standing import read_standing, suspended
from relay.policy.lessons import OTHER
from relay.policy.shaping import Limits, Shaping
from relay.shaping.path_notes import PathNote
from relay.spool.lately import Failure
from relay.spool.orders import Suspension
from relay.spool.shape import LaneShape

MOST_ROWS: Final = 100
MOST_CODES: Final = 20
"""Of so many of a site's newest failures the codes are counted."""


@dataclass(frozen=True, slots=True)
class Stop:
    """What stops or slows a path: until when (None: as long as it stands), and the words."""

    until: datetime | None
    words: str


@dataclass(frozen=True, slots=True)
class Code:
    """How often a code came, of a site's newest failures, and its newest words."""

    code: str
    count: int
    newest: Failure


@dataclass(frozen=True, slots=True)
class SiteRow:
    """A site: its mail, its limits with the rules that set them, what stops it and what it said.

    Of an exchanger alone (`is_alone`), whose site is not known, only what it said: mail and limits are a site's.
    """

    site: str
    provider: str
    waiting: int
    leased: int
    limits: str
    rules: str
    stops: tuple[Stop, ...]
    codes: tuple[Code, ...]
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class _Facts:
    """What rows are made of."""

    lanes: Sequence[LaneShape]
    notes: Sequence[PathNote]
    suspensions: Sequence[Suspension]
    failures: Sequence[Failure]


class PathsPage:
    """GET /admin/paths."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._records = frame.records

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page. Raises SpoolUnavailableError."""
        standing = await read_standing(self._records)
        lanes, recent = await self._records.shape.get(), await self._records.recent.get()
        facts = _Facts(lanes, standing.notes, standing.suspensions, recent.failures)
        rows = sorted(
            self._rows(facts), key=lambda row: (not row.stops, row.is_alone, -row.waiting - row.leased, row.site)
        )
        everywhere = [Stop(one.until, suspended(one)) for one in standing.suspensions if not one.site]
        values = {
            "rows": rows[:MOST_ROWS],
            "more": len(rows) - MOST_ROWS,
            "everywhere": everywhere,
            "codes": MOST_CODES,
        }
        return self._frame.page(request, "paths", "paths.html", values)

    def _rows(self, facts: _Facts) -> Iterator[SiteRow]:
        by_site: dict[str, list[LaneShape]] = {}
        for lane in facts.lanes:
            if lane.site:
                by_site.setdefault(lane.site, []).append(lane)
        named = {note.site for note in facts.notes} | {one.site for one in facts.suspensions if one.site}
        for site in named:
            by_site.setdefault(site, [])
        known = {host for site in by_site for host in exchangers_of(site)}
        said: dict[str, list[Failure]] = {}
        for failure in facts.failures:
            if failure.host:
                said.setdefault(failure.host, []).append(failure)
        alone = said.keys() - known
        by_site.update({host: [] for host in alone})
        for site, lanes in by_site.items():
            hosts = exchangers_of(site)
            domains = sorted({lane.domain for lane in lanes})
            shaping = self._parts.shaping(hosts, domains)
            failures = sorted((one for host in hosts for one in said.get(host, ())), key=lambda one: one.at)
            yield SiteRow(
                site,
                self._parts.provider_of(hosts[0], domains[0] if domains else "") or OTHER,
                sum(lane.waiting for lane in lanes),
                sum(lane.leased for lane in lanes),
                limits_in_words(shaping.limits),
                _rules(shaping),
                tuple(_stops(site, facts)),
                codes(failures[-MOST_CODES:]),
                is_alone=site in alone,
            )


def exchangers_of(site: str) -> list[str]:
    """The exchangers that a site is named after: all of them, or of a long list the first."""
    return [site.partition("+")[0]] if "~" in site else site.split("+")


def limits_in_words(limits: Limits) -> str:
    """What all workers and nodes together may do on one path."""
    words = [f"{limits.connections} connections, {limits.messages_per_connection} messages each"]
    if limits.messages is not None:
        words.append(f"{limits.messages:g} messages a minute")
    if limits.connects is not None:
        words.append(f"{limits.connects:g} connects a minute")
    return ", ".join(words)


def codes(failures: Sequence[Failure]) -> tuple[Code, ...]:
    """The codes of failures, which are given oldest first, the most frequent first."""
    newest = {one.code or one.decided_by: one for one in failures}
    counts = Counter(one.code or one.decided_by for one in failures)
    return tuple(Code(code, count, newest[code]) for code, count in counts.most_common())


def _stops(site: str, facts: _Facts) -> Iterator[Stop]:
    yield from (Stop(one.until, suspended(one)) for one in facts.suspensions if one.site == site)
    yield from (Stop(note.rests_until, str(note)) for note in facts.notes if note.site == site)


def _rules(shaping: Shaping) -> str:
    return ", ".join(dict.fromkeys(shaping.origin.values()))
