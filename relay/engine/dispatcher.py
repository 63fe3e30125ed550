"""The dispatcher: takes leased parcels and lets them stand in line by path; sessions serve the lines.

Everything it holds is leased and counted in a bounded window, so memory stays flat however long the queue is. What
cannot stand in a line now, because its stream is braked or all its paths rest, waits in the spool. A slow site holds up
its own line only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.engine.assess import Assessor
from relay.engine.attempt import Attempter
from relay.engine.brakes import Brakes
from relay.engine.conduct import Conduct
from relay.engine.content import ContentReader
from relay.engine.custody import Custody
from relay.engine.line import SiteLine, Standing
from relay.engine.owned import OwnedTasks
from relay.engine.planner import Planner
from relay.engine.refusals import Refusals
from relay.engine.sessions import SessionParts, Sessions
from relay.engine.shaper import Shaper
from relay.engine.sharing import Sharing
from relay.engine.site import SiteLines
from relay.engine.suspects import Suspects
from relay.engine.warming import Warming
from relay.engine.ways import Ways
from relay.engine.window import Window
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.quarantine import Care
from relay.policy.route import Plan
from relay.policy.shaping import Share
from relay.resolver.routing import Router
from relay.shaping.path_notes import PathNotes
from relay.shaping.warm_ups import WarmUpBook
from relay.smtp.reply import reply
from relay.spool.contract import Spool
from relay.spool.work import NewMessage, Parcel, Settlement

_SURPLUS: Final = 8
"""Parcels beyond what a slow path has use for that stay in hand all the same: giving them back costs a row each."""


@dataclass(frozen=True, slots=True)
class DispatcherOptions:
    """Bounds: deliveries and octets in memory, parcels in a line, seconds a session idles."""

    window: int = 2000
    octets: int = 64_000_000
    line: int = 500
    """Parcels of one site that may wait here; the rest of its mail stays in the spool."""
    session_idle: float = 2.0
    rest: timedelta = timedelta(minutes=5)
    """How long a site that no host of could be reached rests before it is tried again."""


@dataclass(frozen=True, slots=True)
class DispatcherParts:
    """What it works with."""

    router: Router
    attempter: Attempter
    ways: Ways
    shaper: Shaper
    contents: ContentReader
    refusals: Refusals
    assessor: Assessor
    spool: Spool
    clock: Clock
    brakes: Brakes | None = None
    warm_ups: WarmUpBook | None = None
    """None: no source warms up."""
    notes: PathNotes | None = None
    """None: what is found of paths stays in this worker."""


class Dispatcher:
    """Owns the tasks that plan and deliver."""

    def __init__(self, options: DispatcherOptions, parts: DispatcherParts) -> None:
        clock, attempter, shaper = parts.clock, parts.attempter, parts.shaper
        self._options = options
        self._clock = clock
        self._ways = parts.ways
        self._brakes = parts.brakes
        self._shaper = shaper
        self._returns = attempter.returns
        self._tasks = OwnedTasks()
        self._window = Window(options.window, options.octets)
        self._custody = Custody(self._window, parts.assessor, parts.spool, self._tasks, attempter.explain)
        self._lines = SiteLines(shaper.share.limits(shaper.book.everybody, ""), options.rest, clock)
        self._conduct = Conduct(self._custody, self._lines, parts.ways, shaper, clock)
        serving = SessionParts(
            custody=self._custody,
            lines=self._lines,
            ways=parts.ways,
            conduct=self._conduct,
            attempter=attempter,
            contents=parts.contents,
            refusals=parts.refusals,
            clock=clock,
            idle=options.session_idle,
        )
        self._sessions = Sessions(serving, self._line_up)
        self._suspects = Suspects(self._custody, self._sessions, self._lines, clock)
        self._sharing = None
        if parts.notes is not None:
            self._sharing = Sharing(parts.notes, self._lines, clock)
        self._warming = None
        if parts.warm_ups is not None:
            self._warming = Warming(parts.warm_ups, shaper, self._custody, clock, self._line_up)
            self._sessions.warming = self._warming
        self._planner = Planner(parts.router, parts.spool, clock, self._tasks, self._planned)

    @property
    def room(self) -> int:
        """Deliveries that may still be taken."""
        return 0 if self._custody.draining else self._window.room

    def accepts(self, message: NewMessage) -> bool:
        """Whether the fast path may lease the message's deliveries now: there is room, and no line of it is long."""
        recipients = message.envelope.recipients
        if self._custody.draining or not self._window.fits(len(recipients), len(message.content)):
            return False
        return not any(self._is_long(domain) for domain in {recipient.address.domain for recipient in recipients})

    def _is_long(self, domain: str) -> bool:
        plan = self._planner.known(domain)
        if plan is None:
            return self._planner.waiting(domain) >= self._options.line
        return self._lines.room(plan.site, self._options.line) <= 0

    def full_domains(self) -> frozenset[str]:
        """Domains with enough parcels in line: claims leave their mail in the spool."""
        bound = self._options.line
        return frozenset(self._planner.long_waits(bound)) | self._lines.long_domains(bound)

    def scarce_domains(self) -> dict[str, int]:
        """Domains of paths whose far side limits us, and how much mail of each is worth having in hand now."""
        return self._lines.scarce_domains(self._options.line)

    def holds(self, seq: int, n: int) -> bool:
        """Whether a delivery is in the window."""
        return self._window.holds(seq, n)

    def released(self, settlements: Sequence[Settlement]) -> None:
        """These settlements are committed: the window has room again."""
        self._window.settled(settlements)
        if self._warming is not None:
            self._warming.released(settlements)

    def share(self, share: Share) -> None:
        """This worker is one of so many from now on: its part of every path's limits is another."""
        if share == self._shaper.share:
            return
        self._shaper.share = share
        now = self._clock.now()
        for line in self._lines:
            before = line.part
            line.use(line.shaping, share, now)
            if self._sharing is not None:
                self._sharing.moved(line, before)
            self._sessions.fill(line)

    async def share_notes(self, holder: int) -> None:
        """Tell the other workers what was found of paths, and heed what they found."""
        if self._sharing is not None:
            await self._sharing.exchange(holder)

    async def follow_suspensions(self) -> None:
        """End the rests of reply rules whose suspension an operator ended. Raises SpoolUnavailableError."""
        await self._conduct.follow_suspensions()

    def take(self, parcel: Parcel) -> None:
        """Take a leased parcel: it stays in the window until its settlements are committed."""
        for part in self._returns.split(parcel):
            self._take(part)

    def _take(self, parcel: Parcel) -> None:
        self._window.take(parcel)
        if self._custody.draining:
            self._custody.give_back(parcel)
        elif bounce := parcel.duties[0].bounce:
            # What an operator asked to bounce is not tried any more.
            self._custody.settle_soon(parcel, _ours(Result.PERMANENT, 550, "5.7.1", bounce))
        elif not self._braked(parcel):
            domain = parcel.duties[0].recipient.address.domain
            plan = self._planner.known(domain)
            if plan is not None:
                self._line_up(parcel, plan)
            else:
                self._planner.ask(domain, parcel)

    def _braked(self, parcel: Parcel) -> bool:
        """Let mail wait whose stream is slowed or stopped for its complaints, or end it if its time is over."""
        waits = None if self._brakes is None else self._brakes.until(parcel)
        if waits is None:
            return False
        until, brake = waits
        if self._custody.assessor.is_over(parcel, self._clock.now()):
            words = f"stream {brake.stream or '(none)'} is {brake}"
            self._custody.settle_soon(parcel, _ours(Result.TEMPORARY, 451, "4.7.1", words))
        else:
            self._custody.wait_until(parcel, until)
        return True

    def _planned(self, parcel: Parcel, plan: Plan | Outcome) -> None:
        if self._custody.draining:
            self._custody.give_back(parcel)
        elif isinstance(plan, Plan):
            self._line_up(parcel, plan)
        else:
            self._custody.settle_soon(parcel, plan)

    def _line_up(self, parcel: Parcel, plan: Plan) -> None:
        """Let the parcel stand in the line of its best path that does not rest; if all rest, it waits."""
        now = self._clock.now()
        ways = self._ways.ways(parcel, plan, now)
        if isinstance(ways, Outcome):
            self._custody.settle_soon(parcel, ways)
            return
        awake = [way for way in ways if not self._lines.rests(way.path, now)]
        way = awake[0] if awake else ways[0]
        if awake and self._warming is not None:
            chosen = self._warming.choose(parcel, plan, awake)
            if chosen is None:
                return
            way = chosen
        line = self._lines.line(way.path, now)
        domain = parcel.duties[0].recipient.address.domain
        if (rest := line.resting_for(domain, now)) is not None:
            self._custody.wait_for_rest(parcel, rest, now)
        elif not self._has_room(line, parcel, plan):
            self._custody.give_back(parcel)
        elif parcel.care is Care.ALONE:
            self._suspects.handle(line, Standing(parcel, way))
        else:
            line.join(Standing(parcel, way))
            self._sessions.fill(line)

    def _has_room(self, line: SiteLine, parcel: Parcel, plan: Plan) -> bool:
        """Whether the path, by its rules as they are now, has use for one more parcel in this worker's hand."""
        domain = parcel.duties[0].recipient.address.domain
        shaping = self._shaper.shaping(line.path, plan, domain)
        if line.shaping is not shaping or line.slowed is not None:
            line.use(shaping, self._shaper.share, self._clock.now())
        if self._sharing is not None:
            self._sharing.begin(line)
        if not line.limits.connections or (line.gate.limits and line.room(self._options.line) <= -_SURPLUS):
            line.see(domain)
            return False
        return True

    async def drain(self, seconds: float) -> None:
        """Start nothing new, let transactions under way finish for up to `seconds`, give the rest back."""
        self._custody.draining = True
        for line in self._lines:
            for standing in line.drain():
                self._custody.give_back(standing.parcel)
            line.close()
        await self._tasks.end(seconds)
        for parcel in (*self._planner.take_back(), *(self._warming.take_back() if self._warming else ())):
            self._custody.give_back(parcel)

    async def flush(self) -> None:
        """After the last settlement: what was allowed to leave and did not is given back."""
        if self._warming is not None:
            await self._warming.flush()


def _ours(result: Result, code: int, enhanced: str, words: str) -> Outcome:
    """The outcome of mail that we ourselves do not send."""
    return Outcome(result, Scope.MESSAGE, Phase.PERMIT, DecidedBy.RELAY, reply(code, enhanced, words))
