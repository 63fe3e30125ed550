"""The line of a path: the parcels that wait for sessions from one source to one site, and how many it may have.

Pure bookkeeping: the dispatcher asks, this answers; all I/O happens there.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from math import inf
from typing import Final

from relay.clock import Clock
from relay.engine.gate import LEAD, Gate
from relay.policy.outcome import Outcome
from relay.policy.pace import Pace, starting_pace, within
from relay.policy.route import EgressPath, Way
from relay.policy.shaping import UNNAMED, Limits, ReplyRule, Shaping, Share
from relay.spool.work import Parcel

MAX_LINES: Final = 10_000
"""Lines of a worker above which what is known of idle paths is forgotten, the oldest first."""

MAX_SEEN: Final = 1000
"""Domains of one line that are remembered."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A parcel in line, with its own domain's way: domains of one site may differ in what TLS they demand."""

    parcel: Parcel
    way: Way
    turned_away: int = 0
    """How often a session opened for it was refused while others were open: no attempt, for it was not tried."""
    left: frozenset[str] = frozenset()
    """Sources whose lines it left in this attempt."""


@dataclass(frozen=True, slots=True)
class Rest:
    """No host of the site could be reached, or it refused us for what we are; until then it is not tried."""

    since: datetime
    until: datetime
    failure: Outcome
    rule: ReplyRule | None = None
    """The reply rule that suspended the path; a success of mail under way does not end that."""


@dataclass(frozen=True, slots=True)
class Slowed:
    """A reply rule slowed the path until then."""

    until: datetime
    rule: ReplyRule

    def within(self, limits: Limits) -> Limits:
        """The limits, no higher than the rule's."""
        rule = self.rule
        return replace(
            limits,
            connections=limits.connections if rule.connections is None else min(limits.connections, rule.connections),
            messages=limits.messages if rule.messages is None else min(limits.messages or inf, rule.messages),
        )


class SiteLine:
    """The line of one path."""

    def __init__(self, path: EgressPath, limits: Limits, gate: Gate) -> None:
        self.path = path
        self.gate = gate
        self.opens_later = False
        """A timer runs that opens a session when the gate lets somebody through again."""
        self.limits = limits
        self.shaping = UNNAMED
        self.slowed: Slowed | None = None
        self.pace: Pace = starting_pace(limits.connections)
        gate.cap_at(limits.messages, limits.connects)
        self.rest: Rest | None = None
        self.sessions = 0
        self._opening = 0
        self._idle = 0
        self._standing: deque[Standing] = deque()
        self._domains: Counter[str] = Counter()
        self._seen: dict[str, None] = {}
        self._arrived = asyncio.Event()
        self._closed = False
        self._ended = asyncio.Event()

    def use(self, shaping: Shaping, share: Share, now: datetime) -> None:
        """Go by these rules, this worker's share of them, and by what a reply rule asked for while that lasts."""
        self.shaping = shaping
        limits = shaping.limits
        if self.slowed is not None and self.slowed.until > now:
            limits = self.slowed.within(limits)
        else:
            self.slowed = None
        limits = share.limits(limits, str(self.path))
        if limits != self.limits:
            self.limits = limits
            self.pace = within(self.pace, limits.connections)
            self.gate.cap_at(limits.messages, limits.connects)

    def __repr__(self) -> str:
        return (
            f"<SiteLine {self.path} waiting={len(self._standing)} sessions={self.sessions} idle={self._idle}"
            f" window={self.pace.window}/{self.pace.limit} rest={self.rest}>"
        )

    @property
    def waiting(self) -> int:
        """Parcels in line."""
        return len(self._standing)

    @property
    def domains(self) -> frozenset[str]:
        """The domains of the parcels in line."""
        return frozenset(self._domains)

    @property
    def seen(self) -> frozenset[str]:
        """The domains whose mail came here, as many as are remembered."""
        return frozenset(self._seen)

    def see(self, domain: str) -> None:
        """Mail for the domain goes this way."""
        if domain not in self._seen:
            while len(self._seen) >= MAX_SEEN:
                del self._seen[next(iter(self._seen))]
            self._seen[domain] = None

    def room(self, most: int) -> int:
        """How many more parcels may stand in line, if `most` may at all."""
        return (self.gate.stock(most) if self.limits.connections else 0) - len(self._standing)

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nobody serves: the line may be dropped."""
        return not self._standing and self.sessions == 0

    @property
    def knows(self) -> bool:
        """Whether something is known of the path that is worth keeping while it has nothing to do."""
        return self.gate.limits or self.slowed is not None or not self.limits.connections

    def resting(self, now: datetime) -> Rest | None:
        """The rest the site is in, if it is."""
        rest = self.rest
        # One that begins later than now is of a clock that was set back since (R27).
        return rest if rest is not None and rest.since <= now < rest.until else None

    def join(self, standing: Standing) -> None:
        """Stand in line; ask `wants_session` afterwards."""
        self._standing.append(standing)
        domain = _domain(standing)
        self._domains[domain] += 1
        self.see(domain)
        if self._idle:
            self._arrived.set()

    def rejoin(self, standing: Standing) -> None:
        """Stand first in line again: a session was refused, the mail was not."""
        self.join_first(replace(standing, turned_away=standing.turned_away + 1))

    def join_first(self, standing: Standing) -> None:
        """Stand first in line: its attempt goes on."""
        self._standing.appendleft(standing)
        self._domains[_domain(standing)] += 1
        if self._idle:
            self._arrived.set()

    def wants_session(self) -> bool:
        """Whether more parcels wait than free sessions can take, and pace and gate allow another session."""
        return (
            len(self._standing) > self._idle + self._opening
            and self.sessions < self.pace.window
            and self.gate.wait() <= LEAD
        )

    def session_begins(self) -> None:
        """A session is to be opened; its first call of `first` ends the opening."""
        self.sessions += 1
        self._opening += 1

    def first(self) -> Standing | None:
        """What a session that begins takes."""
        self._opening -= 1
        return self.pop()

    def pop(self) -> Standing | None:
        """The next parcel, None if none waits."""
        if not self._standing:
            return None
        standing = self._standing.popleft()
        domain = _domain(standing)
        self._domains[domain] -= 1
        if not self._domains[domain]:
            del self._domains[domain]
        return standing

    def drain(self) -> Iterator[Standing]:
        """Everybody in line, one after the other, who is then no longer."""
        while (standing := self.pop()) is not None:
            yield standing

    def close(self) -> None:
        """No parcel comes any more: idle sessions need not wait for one."""
        self._closed = True
        self._ended.set()
        self._arrived.set()
        self.gate.close()

    async def pause(self, seconds: float) -> None:
        """Let `seconds` pass, fewer if the line is closed meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            pass

    async def next(self, patience: float) -> Standing | None:
        """The next parcel, waiting up to `patience` seconds for one to arrive."""
        if self._standing:
            return self.pop()
        self._idle += 1
        try:
            async with asyncio.timeout(patience):
                while not self._standing and not self._closed:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        finally:
            self._idle -= 1
        return self.pop()


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

    def put_to_rest(self, line: SiteLine, failure: Outcome, now: datetime, rule: ReplyRule | None = None) -> Rest:
        """No host of the site could be reached, or it wants nothing from us for now: the rest that begins."""
        line.pace = line.pace.failed()
        asked = failure.diagnosis.rest if failure.diagnosis is not None else None
        lasts = rule.lasts if rule is not None else asked or self._rest
        line.rest = Rest(now, now + lasts, failure, rule)
        self._put += 1
        heappush(self._rests, (line.rest.until + self._rest, self._put, line, line.rest))
        return line.rest

    def drop_if_empty(self, line: SiteLine) -> None:
        """Forget a line nobody needs. One that rested is kept a while, with what was learnt of its pace."""
        if line.empty and line.rest is None and not line.knows and self._lines.get(line.path) is line:
            self._drop(line)

    def _drop(self, line: SiteLine) -> None:
        del self._lines[line.path]
        others = self._of_site[line.path.site]
        others.discard(line)
        if not others:
            del self._of_site[line.path.site]

    def _drop_rested(self, now: datetime) -> None:
        """Forget the empty lines whose rest has been over for as long as one lasts: dead sites do not pile up."""
        while self._rests and self._rests[0][0] <= now:
            _, _, line, rest = heappop(self._rests)
            if line.rest is rest:
                line.rest = None
                self.drop_if_empty(line)


def _domain(standing: Standing) -> str:
    return standing.parcel.duties[0].recipient.address.domain
