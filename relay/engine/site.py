"""The lines of a worker, by path and by site: made when first needed, dropped when nobody needs them.

Stands between the dispatcher and the single line (`relay.engine.line`). A dead site's line is kept with what was learnt
for as long as its rest lasts once more; memory stays bounded however many sites there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from math import inf
from typing import Final

from relay.clock import Clock
from relay.engine.gate import LONG, Gate
from relay.engine.line import Rest, SiteLine
from relay.policy.outcome import Outcome
from relay.policy.shaping import Limits, ReplyRule
from relay.policy.way import EgressPath

MAX_LINES: Final = 10_000
"""Lines of a worker above which what is known of idle paths is forgotten, the oldest first."""


class SiteLines:
    """The lines of a worker, made when first needed and dropped when nobody needs them."""

    def __init__(self, limits: Limits, rest: timedelta, clock: Clock) -> None:
        self._clock = clock
        self._limits = limits
        self._rest = rest
        self._lines: dict[EgressPath, SiteLine] = {}
        self._of_site: dict[str, set[SiteLine]] = {}
        self._rests: list[tuple[datetime, int, SiteLine, Rest]] = []
        self._put = 0

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[SiteLine]:
        return iter(list(self._lines.values()))

    def get(self, path: EgressPath) -> SiteLine | None:
        """The path's line if there is one."""
        return self._lines.get(path)

    def waiting(self, site: str) -> int:
        """Parcels in all lines to the site."""
        return sum(line.waiting for line in self._of_site.get(site, ()))

    def room(self, site: str, bound: int) -> int:
        """How many more parcels may stand in the lines to the site, `bound` in all at most."""
        lines = self._of_site.get(site)
        if not lines:
            return bound
        room = sum(max(0, line.room(bound)) for line in lines)
        return min(room, bound - self.waiting(site))

    def long_domains(self, bound: int) -> frozenset[str]:
        """The domains of the sites in whose lines there is no room."""
        long = (lines for site, lines in self._of_site.items() if self.room(site, bound) <= 0)
        return frozenset(domain for lines in long for line in lines for domain in line.seen)

    def scarce_domains(self, bound: int) -> dict[str, int]:
        """The domains of sites that limit us, with how much mail of each is worth having in hand now."""
        scarce: dict[str, int] = {}
        for site, lines in self._of_site.items():
            if all(line.gate.limits for line in lines) and (room := self.room(site, bound)) > 0:
                domains = frozenset(domain for line in lines for domain in line.seen)
                scarce.update(dict.fromkeys(domains, max(1, room // max(1, len(domains)))))
        return scarce

    def line(self, path: EgressPath, now: datetime) -> SiteLine:
        """The path's line, a new one if there is none."""
        line = self._lines.get(path)
        if line is None:
            self._drop_rested(now)
            if len(self._lines) >= MAX_LINES and (oldest := next((one for one in self if one.empty), None)):
                self._drop(oldest)
            line = self._lines[path] = SiteLine(path, self._limits, Gate(self._clock))
            self._of_site.setdefault(path.site, set()).add(line)
        return line

    def rests(self, path: EgressPath, now: datetime) -> bool:
        """Whether the path is of no use for a while: it rests, or takes nothing for long."""
        line = self.get(path)
        return line is not None and (line.resting(now) is not None or LONG < line.gate.wait() < inf)

    def put_to_rest(self, line: SiteLine, failure: Outcome, now: datetime, rule: ReplyRule | None = None) -> Rest:
        """No host of the site could be reached, or it wants nothing from us for now: the rest that begins."""
        line.pace = line.pace.failed()
        asked = failure.diagnosis.rest if failure.diagnosis is not None else None
        lasts = rule.lasts if rule is not None else asked or self._rest
        return self.let_rest(line, Rest(now, now + lasts, failure, ordered=rule is not None))

    def let_rest(self, line: SiteLine, rest: Rest) -> Rest:
        """Keep a path at rest."""
        line.rest = rest
        self._put += 1
        heappush(self._rests, (rest.until + self._rest, self._put, line, rest))
        self._drop_rested(rest.since)
        return rest

    def let_wait(self, line: SiteLine, domain: str, failure: Outcome, now: datetime) -> Rest:
        """The site's hosts fell short of what one domain demands: its mail waits, the path does not."""
        rest = line.unmet[domain] = Rest(now, now + self._rest, failure)
        self._put += 1
        heappush(self._rests, (rest.until, self._put, line, rest))
        self._drop_rested(now)
        return rest

    def drop_if_empty(self, line: SiteLine) -> None:
        """Forget a line nobody needs. One that rested is kept a while, with what was learnt of its pace."""
        if (
            line.empty
            and line.rest is None
            and not line.unmet
            and not line.knows
            and self._lines.get(line.path) is line
        ):
            self._drop(line)

    def _drop(self, line: SiteLine) -> None:
        del self._lines[line.path]
        others = self._of_site[line.path.site]
        others.discard(line)
        if not others:
            del self._of_site[line.path.site]

    def _drop_rested(self, now: datetime) -> None:
        """Forget the empty lines whose rest has been over for as long as one lasts: dead sites do not pile up, and
        neither do the rests of one that never has another beside it, as a smarthost.
        """
        while self._rests and self._rests[0][0] <= now:
            _, _, line, rest = heappop(self._rests)
            if line.rest is rest:
                line.rest = None
            line.unmet = {domain: one for domain, one in line.unmet.items() if one is not rest}
            self.drop_if_empty(line)
