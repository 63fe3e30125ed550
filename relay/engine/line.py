"""The line of a path: the parcels that wait for sessions from one source to one site, and how many it may have.

Pure bookkeeping: the dispatcher asks, this answers; all I/O happens there.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf
from typing import Final

from relay.engine.gate import LEAD, Gate
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.pace import Pace, starting_pace, within
from relay.policy.shaping import UNNAMED, Limits, ReplyRule, Shaping, Share
from relay.policy.way import EgressPath, Way
from relay.smtp.reply import reply
from relay.spool.work import Parcel

MANY: Final = 20
"""Messages a path has taken from which on its line is kept while it has nothing to do."""

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
    ordered: bool = False
    """A suspension in the spool says so, by a reply rule or by an operator: no success of mail under way ends that."""

    @classmethod
    def told(cls, since: datetime, until: datetime, phase: Phase, why: str, *, ordered: bool = False) -> Rest:
        """A rest for what others found, or ordered."""
        words = reply(451, "4.4.0", why)
        return cls(since, until, Outcome(Result.TEMPORARY, Scope.SITE, phase, DecidedBy.RELAY, words), ordered)


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
        self.part = 1.0
        """This worker's part of the path, 0 to 1."""
        self.shaping = UNNAMED
        self.slowed: Slowed | None = None
        self.pace: Pace = starting_pace(limits.connections)
        gate.cap_at(limits.messages, limits.connects)
        self.rest: Rest | None = None
        self.unmet: dict[str, Rest] = {}
        """The domains whose TLS demand the hosts fell short of: their mail waits, the others' does not."""
        self.sessions = 0
        self._opening = 0
        self._wanted = 0
        self._freed = asyncio.Event()
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
        whole = limits.connections
        limits = share.limits(limits, str(self.path))
        self.part = limits.connections / whole
        if limits != self.limits:
            self.limits = limits
            self.pace = within(self.pace, limits.connections)
            self.gate.cap_at(limits.messages, limits.connects)
            self._send_idle_away()

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
        return not self._standing and self.sessions == 0 and not self._wanted

    @property
    def crowded(self) -> bool:
        """Whether more sessions are open than there may be, or one of them is in the way of a suspect's."""
        return self.sessions + self._wanted > self.limits.connections

    @property
    def knows(self) -> bool:
        """Whether something is known of the path that is worth keeping while it has nothing to do."""
        # What a busy path has taken of late is part of what its far side counts: forgotten, the next refusal misleads.
        busy = self.gate.rate.taken >= MANY
        return busy or self.gate.limits or self.slowed is not None or not self.limits.connections

    def resting(self, now: datetime) -> Rest | None:
        """The rest the site is in, if it is."""
        rest = self.rest
        # One that begins later than now is of a clock that was set back since (R27).
        return rest if rest is not None and rest.since <= now < rest.until else None

    def resting_for(self, domain: str, now: datetime) -> Rest | None:
        """The rest that mail for the domain waits for, if it does."""
        own = self.unmet.get(domain)
        return self.resting(now) or (own if own is not None and own.since <= now < own.until else None)

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
            and self.sessions + self._wanted < self.pace.window
            and self.gate.wait(self._opening) <= LEAD
        )

    def session_begins(self) -> None:
        """A session is to be opened; its first call of `first` ends the opening."""
        self.sessions += 1
        self._opening += 1

    def session_ends(self) -> None:
        """A session was closed: its place is free."""
        self.sessions -= 1
        self._freed.set()

    async def place(self) -> bool:
        """Wait for a session's place within the limit, before all others; end it with `session_ends`.

        False if the line is closed, or has no connections in this worker's share.
        """
        self._wanted += 1
        try:
            while not self._closed and 0 < self.limits.connections <= self.sessions:
                self._freed.clear()
                self._send_idle_away()
                await self._freed.wait()
        finally:
            self._wanted -= 1
        if self._closed or not self.limits.connections:
            return False
        self.sessions += 1
        return True

    def _send_idle_away(self) -> None:
        """Sessions that wait for a parcel leave if their places are not theirs any more."""
        if self.crowded:
            self._arrived.set()

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
        self._freed.set()
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
                while not self._standing and not self._closed and not self.crowded:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            pass
        finally:
            self._idle -= 1
        return None if self.crowded else self.pop()


def _domain(standing: Standing) -> str:
    return standing.parcel.duties[0].recipient.address.domain
