"""The dispatcher: takes leased parcels, lets them stand in line by path, and opens sessions to serve the lines.

Everything it holds is leased and counted in a bounded window, so memory stays flat however long the queue is.
One task serves one session: it takes parcels from its line until none comes, the session has carried its
share, or the far side has had enough. A slow site holds up its own line only.
"""

from __future__ import annotations

from asyncio import CancelledError, Lock
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf
from typing import Final

from relay.clock import Clock
from relay.egress.contract import Session
from relay.engine.assess import Assessor
from relay.engine.attempt import Attempter, AttemptResult, internal_failure
from relay.engine.brakes import Brakes
from relay.engine.content import ContentReader
from relay.engine.gate import LEAD, LONG, NoPermitError, Permit
from relay.engine.owned import OwnedTasks
from relay.engine.planner import Planner
from relay.engine.refusals import Departure, Refusals
from relay.engine.shaper import Shaper
from relay.engine.site import SiteLine, SiteLines, Slowed, Standing
from relay.engine.ways import Ways
from relay.engine.window import Window
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.quarantine import Care
from relay.policy.route import EgressPath, Plan
from relay.policy.shaping import Action, ReplyRule, Share
from relay.policy.verdict import ends
from relay.resolver.routing import Router
from relay.smtp.reply import reply
from relay.spool.contract import Spool
from relay.spool.orders import Suspension
from relay.spool.work import NewMessage, Parcel, Settlement

_log = Log("dispatcher")

_MAX_ALONE: Final = 50
"""Suspects in hand that wait to be handled alone; more go back for a while, so that the window has room for others."""

_ALONE_PAUSE: Final = timedelta(minutes=1)

_SURPLUS: Final = 8
"""Parcels beyond what a slow path has use for that stay in hand all the same: giving them back costs a row each."""

_STORED: Final = timedelta(seconds=30)
"""How long the row of a suspension may be on its way to the spool."""

_MAX_TURNED_AWAY: Final = 5
"""Refused sessions after which a parcel's attempt counts, whatever other sessions meet."""


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


class Dispatcher:
    """Owns the tasks that plan and deliver."""

    def __init__(
        self,
        options: DispatcherOptions,
        router: Router,
        attempter: Attempter,
        ways: Ways,
        shaper: Shaper,
        contents: ContentReader,
        refusals: Refusals,
        assessor: Assessor,
        spool: Spool,
        clock: Clock,
        brakes: Brakes | None = None,
    ) -> None:
        self._options = options
        self._attempter = attempter
        self._ways = ways
        self._contents = contents
        self._refusals = refusals
        self._assessor = assessor
        self._clock = clock
        self._spool = spool
        self._brakes = brakes
        self._tasks = OwnedTasks()
        self._alone = Lock()
        self._waiting_alone = 0
        self._window = Window(options.window, options.octets)
        self._shaper = shaper
        self._lines = SiteLines(shaper.share.limits(shaper.book.everybody, ""), options.rest, clock)
        self._planner = Planner(router, spool, clock, self._tasks, self._planned)
        self._draining = False

    @property
    def room(self) -> int:
        """Deliveries that may still be taken."""
        return 0 if self._draining else self._window.room

    def accepts(self, message: NewMessage) -> bool:
        """Whether the fast path may lease the message's deliveries now: there is room, and no line of it is long."""
        recipients = message.envelope.recipients
        if self._draining or not self._window.fits(len(recipients), len(message.content)):
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

    def take(self, parcel: Parcel) -> None:
        """Take a leased parcel: it stays in the window until its settlements are committed."""
        for part in self._attempter.returns.split(parcel):
            self._take(part)

    def _take(self, parcel: Parcel) -> None:
        self._window.take(parcel)
        if self._draining:
            self._give_back(parcel)
        elif parcel.duties[0].bounce:
            self._tasks.start(self._bounce(parcel), f"bounce-{parcel.id}")
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
        if parcel.expires_at <= self._clock.now():
            words = reply(451, "4.7.1", f"stream {brake.stream or '(none)'} is {brake}")
            outcome = Outcome(Result.TEMPORARY, Scope.MESSAGE, Phase.PERMIT, DecidedBy.RELAY, words)
            self._tasks.start(self._settle_unsent(parcel, outcome), f"settle-{parcel.id}")
        else:
            self._window.drop_content(parcel)
            self._assessor.wait_until(parcel, until)
        return True

    def holds(self, seq: int, n: int) -> bool:
        """Whether a delivery is in the window."""
        return self._window.holds(seq, n)

    def released(self, settlements: Sequence[Settlement]) -> None:
        """These settlements are committed: the window has room again."""
        self._window.settled(settlements)

    async def drain(self, seconds: float) -> None:
        """Start nothing new, let transactions under way finish for up to `seconds`, give the rest back."""
        self._draining = True
        for line in self._lines:
            for standing in line.drain():
                self._give_back(standing.parcel)
            line.close()
        await self._tasks.end(seconds)
        for parcel in self._planner.take_back():
            self._give_back(parcel)

    async def _bounce(self, parcel: Parcel) -> None:
        """What an operator asked to bounce is not tried any more."""
        words = reply(550, "5.7.1", parcel.duties[0].bounce)
        outcome = Outcome(Result.PERMANENT, Scope.MESSAGE, Phase.PERMIT, DecidedBy.RELAY, words)
        await self._settle_unsent(parcel, outcome)

    def _planned(self, parcel: Parcel, plan: Plan | Outcome) -> None:
        if self._draining:
            self._give_back(parcel)
        elif isinstance(plan, Plan):
            self._line_up(parcel, plan)
        else:
            self._tasks.start(self._settle_unsent(parcel, plan), f"settle-{parcel.id}")

    def _line_up(self, parcel: Parcel, plan: Plan) -> None:
        """Let the parcel stand in the line of its best path that does not rest; if all rest, it waits."""
        now = self._clock.now()
        ways = self._ways.ways(parcel, plan, now)
        if isinstance(ways, Outcome):
            self._tasks.start(self._settle_unsent(parcel, ways), f"settle-{parcel.id}")
            return
        way = next((way for way in ways if not self._path_rests(way.path, now)), ways[0])
        line = self._lines.line(way.path, now)
        if self._rests(line, parcel):
            return
        if parcel.care is Care.ALONE:
            self._handle_alone(line, Standing(parcel, way, turned_away=_MAX_TURNED_AWAY))
            return
        domain = parcel.duties[0].recipient.address.domain
        shaping = self._shaper.shaping(way.path, plan, domain)
        if line.shaping is not shaping or line.slowed is not None:
            line.use(shaping, self._shaper.share, now)
        if not line.limits.connections or (line.gate.limits and line.room(self._options.line) <= -_SURPLUS):
            line.see(domain)
            self._give_back(parcel)
            return
        line.join(Standing(parcel, way))
        self._fill_sessions(line)

    def _handle_alone(self, line: SiteLine, standing: Standing) -> None:
        """A suspect has its own session, and no other suspect is handled meanwhile; other mail goes on."""
        if self._waiting_alone >= _MAX_ALONE:
            self._assessor.wait_for_site(standing.parcel, self._clock.now() + _ALONE_PAUSE)
            return
        self._waiting_alone += 1
        self._tasks.start(self._serve_alone(line, standing), f"alone-{standing.parcel.id}")

    async def _serve_alone(self, line: SiteLine, standing: Standing) -> None:
        try:
            async with self._alone:
                if self._draining:
                    self._give_back(standing.parcel)
                    return
                session = await self._deliver(line, standing, None)
                if session is not None:
                    await session.quit()
                # Until its verdict is on disk, the next suspect's death would count as this one's too.
                await self._assessor.written()
        finally:
            self._waiting_alone -= 1
            self._lines.drop_if_empty(line)

    def _path_rests(self, path: EgressPath, now: datetime) -> bool:
        line = self._lines.get(path)
        return line is not None and (line.resting(now) is not None or LONG < line.gate.wait() < inf)

    def _rests(self, line: SiteLine, parcel: Parcel) -> bool:
        """Send a parcel away if its site rests: to wait, or to its end if its time is over.

        What the last attempt met stands for all mail of the site. If each expired letter had to meet a dead host's
        time-outs itself, a long queue would take days to end, and would fill the window meanwhile.
        """
        now = self._clock.now()
        rest = line.resting(now)
        if rest is None:
            return False
        if parcel.expires_at <= now or ends(rest.failure, now - parcel.accepted_at):
            self._tasks.start(self._settle_unsent(parcel, rest.failure), f"settle-{parcel.id}")
        else:
            self._window.drop_content(parcel)
            if self._assessor.owes_delay_notice(parcel, rest.until):
                telling = self._assessor.wait_and_tell(parcel, rest.until, rest.failure)
                self._tasks.start(telling, f"tell-{parcel.id}")
            else:
                self._assessor.wait_for_site(parcel, rest.until)
        return True

    def _open_session(self, line: SiteLine) -> None:
        line.session_begins()
        self._tasks.start(self._serve(line), f"session-{line.path}")

    async def _serve(self, line: SiteLine) -> None:
        """One session's life: parcels until nobody comes, its share is done, or the session ended."""
        session: Session | None = None
        try:
            standing = line.first()
            while standing is not None:
                session = await self._deliver(line, standing, session)
                if session is not None and session.transactions >= line.limits.messages_per_connection:
                    await session.quit()
                    session = None
                if self._draining or (session is None and line.sessions > line.pace.window):
                    break
                if line.gate.limits and line.gate.wait() > self._options.session_idle:
                    break  # the sessions that wait for permits are enough
                standing = line.pop() if session is None else await line.next(self._options.session_idle)
        finally:
            try:
                if session is not None:
                    await session.quit()
            finally:
                line.sessions -= 1
                self._fill_sessions(line)
                self._lines.drop_if_empty(line)

    def _fill_sessions(self, line: SiteLine) -> None:
        if self._draining:
            return
        while line.wants_session():
            self._open_session(line)
        if line.waiting and line.gate.limits and not line.opens_later:
            wait = line.gate.wait()
            if LEAD < wait < inf:
                line.opens_later = True
                self._tasks.start(self._open_later(line, wait - LEAD / 2), f"gate-{line.path}")

    async def _open_later(self, line: SiteLine, seconds: float) -> None:
        """Open sessions when the gate is about to let somebody through."""
        await line.pause(min(seconds, LONG))
        line.opens_later = False
        self._fill_sessions(line)

    async def _deliver(self, line: SiteLine, standing: Standing, session: Session | None) -> Session | None:
        """One attempt and its verdicts; returns the session if it can carry another."""
        parcel = standing.parcel
        if session is None and line.resting(self._clock.now()) is not None:
            self._line_up(parcel, standing.way.plan)
            return None
        try:
            departure = await self._refusals.depart(parcel)
            left = departure.parcel
            if left is not None and left is not parcel:
                self._window.shrank(parcel, left)
                parcel, standing = left, replace(standing, parcel=left)
            result = None if left is None else await self._attempt(line, standing, session, departure)
        except CancelledError:
            # What was sent without an answer is unknown to us, and the next attempt may repeat it (promise (c)).
            self._give_back(parcel)
            raise
        except NoPermitError:
            self._give_back(parcel)
            return None
        except SpoolUnavailableError as error:
            _log.warning("content-unread", id=parcel.id, error=error)
            self._give_back(parcel)
            return session
        except Exception:  # noqa: BLE001 - a failure of ours is an outcome too: nothing may be forgotten
            _log.exception("attempt-failed", id=parcel.id)
            if session is not None:
                session.abort()
            outcome = internal_failure(Phase.PERMIT, "the attempt failed on our side")
            await self._settle_unsent(parcel, outcome, broken=True)
            return None
        if result is None:
            self._window.drop_content(parcel)
            return session if session is not None and session.usable else None
        if departure.stopped:
            self._give_back(parcel)
            return result.session
        if self._turned_away(line, standing, result):
            return None
        return await self._conclude(line, standing, result)

    async def _attempt(
        self, line: SiteLine, standing: Standing, session: Session | None, departure: Departure
    ) -> AttemptResult | None:
        """What the attempt gave; None if the parcel was held instead."""
        await self._assessor.keeps_up()
        parcel = standing.parcel
        async with self._window.reading(parcel.size if parcel.content is None else 0):
            await self._note_begun(parcel)
            content = await self._contents.read(parcel)
            if content is None:
                return None
            permit = Permit(line.gate, departure.may_finish)
            try:
                result = await self._attempter.attempt(parcel, content, standing.way, session, permit)
            except BaseException:
                permit.answered(refused=False, reached=False)
                raise
        permit.answered(refused=result.pressure is not None, reached=result.reached)
        return result

    def _turned_away(self, line: SiteLine, standing: Standing, result: AttemptResult) -> bool:
        """Whether one session was refused while others are open: the mail was not, and waits for those.

        The last session to be refused puts the site to rest, and its parcel's attempt counts.
        """
        others = line.sessions - 1
        if (
            result.reached
            or result.refusal_of_path
            or result.pressure
            or others <= 0
            or standing.turned_away >= _MAX_TURNED_AWAY
            or self._draining
        ):
            return False
        line.pace = line.pace.refused_beyond(others)
        _log.info("session-refused", path=line.path, window=line.pace.window, reply=result.outcomes[0].reply)
        line.rejoin(standing)
        return True

    def _moved(self, standing: Standing, result: AttemptResult) -> bool:
        """Whether the same attempt goes on from another source: ours failed, or had none of an IP version (B07)."""
        if result.reached or self._draining or standing.parcel.care is Care.ALONE:
            return False
        parcel, way, outcome = standing.parcel, standing.way, result.outcomes[0]
        now = self._clock.now()
        ways = self._ways.ways(parcel, way.plan, now)
        left = standing.left | {way.source.name}
        for other in ways if not isinstance(ways, Outcome) else ():
            untried = outcome.scope is Scope.SOURCE or not set(other.candidates) <= set(way.candidates)
            if untried and other.source.name not in left and not self._path_rests(other.path, now):
                line = self._lines.line(other.path, now)
                note = f"not from {way.source.name}: {outcome.reply.text}; from {other.source.name} now"
                line.join_first(replace(standing, way=replace(other, notes=(*way.notes, note)), left=left))
                if line.wants_session():
                    self._open_session(line)
                return True
        return False

    async def _conclude(self, line: SiteLine, standing: Standing, result: AttemptResult) -> Session | None:
        try:
            self._learn(line, standing, result)
            if self._moved(standing, result):
                return None
            self._window.drop_content(standing.parcel)
            await self._assess(standing.parcel, result)
        except BaseException:
            if result.session is not None:
                result.session.abort()
            raise
        return result.session

    def _learn(self, line: SiteLine, standing: Standing, result: AttemptResult) -> None:
        """Let the path's pace and rest, and the source's health, follow what was seen."""
        now = self._clock.now()
        source_rests = self._ways.learn(standing.way, result.outcomes[0], now, reached=result.reached)
        if source_rests:
            self._line_up_again(line)
        if not result.reached and result.outcomes[0].scope is Scope.SOURCE:
            return  # our own trouble, such as no descriptors left, says nothing about the site
        refusal = result.refusal_of_path
        pressure = result.pressure
        if self._asked(line, result, now):
            return
        if pressure is not None and refusal is None:
            self._slow(line, pressure)
            return
        if result.reached and refusal is None:
            if line.rest is not None and line.rest.rule is None:
                line.rest = None
            line.pace = line.pace.succeeded()
            self._fill_sessions(line)
        elif line.resting(now) is None:
            failure = refusal or result.outcomes[0]
            rest = self._lines.put_to_rest(line, failure, now)
            _log.warning("site-rests", path=line.path, until=rest.until, phase=failure.phase.value, reply=failure.reply)
            self._line_up_again(line)

    def _line_up_again(self, line: SiteLine) -> None:
        """Whoever stands here looks for a path again."""
        for standing in list(line.drain()):
            self._line_up(standing.parcel, standing.way.plan)

    def _asked(self, line: SiteLine, result: AttemptResult, now: datetime) -> bool:
        """Do what reply rules ask for; whether the path is suspended by one."""
        suspended = False
        for rule in self._shaper.asked(line.path, line.shaping, result.outcomes, now):
            failure = result.outcomes[0]
            _log.warning("reply-rule", path=line.path, rule=rule.id, action=rule.action, reply=failure.reply)
            if rule.alarm:
                self._tasks.start(self._shaper.alarm(rule, line.path, str(failure.reply)), f"alarm-{rule.id}")
            if rule.action is Action.SUSPEND:
                self._lines.put_to_rest(line, failure, now, rule)
                self._tasks.start(self._suspend(line.path, rule, now + rule.lasts), f"suspend-{rule.id}")
                suspended = True
            elif rule.action is Action.SLOW:
                line.slowed = Slowed(now + rule.lasts, rule)
                line.use(line.shaping, self._shaper.share, now)
        if suspended:
            self._line_up_again(line)
        return suspended

    async def _suspend(self, path: EgressPath, rule: ReplyRule, until: datetime) -> None:
        """Let the spool keep the site's mail back: for all workers, and after a restart too.

        With several sources the site's other paths go on, so that nothing but this worker's rest keeps the path back.
        """
        if len(self._ways.pools.names()) > 1:
            return
        reason = f"rule {rule.id}: the provider asked for it"
        try:
            if any(one.site == path.site and one.reason == reason for one in await self._spool.suspensions()):
                return  # another worker was told the same
            await self._spool.suspend(Suspension(0, "", "", path.site, until, reason))
        except SpoolUnavailableError as error:
            _log.warning("suspension-not-stored", path=path, error=error)

    async def follow_suspensions(self) -> None:
        """End the rests of reply rules whose suspension an operator ended. Raises SpoolUnavailableError."""
        long_ago = self._clock.now() - _STORED
        resting = [line for line in self._lines if line.rest and line.rest.rule and line.rest.since < long_ago]
        if not resting or len(self._ways.pools.names()) > 1:
            return
        suspended = {one.site for one in await self._spool.suspensions()}
        for line in resting:
            if line.path.site not in suspended:
                line.rest = None

    def share(self, share: Share) -> None:
        """This worker is one of so many from now on: its part of every path's limits is another."""
        if share == self._shaper.share:
            return
        self._shaper.share = share
        now = self._clock.now()
        for line in self._lines:
            line.use(line.shaping, share, now)
            self._fill_sessions(line)

    def _slow(self, line: SiteLine, refusal: Outcome) -> None:
        """The far side said "too much": the gate knows. Mail that would wait long for it waits in the spool."""
        wait = line.gate.wait()
        _log.info("path-slowed", path=line.path, rate=line.gate.rate.shown(), wait=wait, reply=refusal.reply)
        if LONG < wait < inf:
            for standing in line.drain():
                self._give_back(standing.parcel)

    async def _settle_unsent(self, parcel: Parcel, outcome: Outcome, *, broken: bool = False) -> None:
        self._window.drop_content(parcel)
        outcome = self._attempter.diagnoser.explain(outcome, parcel.duties[0].recipient.address.domain)
        outcomes = (outcome,) * len(parcel.duties)
        result = AttemptResult(outcomes, None, reached=False, transcript=(), duration_ms=0, broken=broken)
        try:
            await self._note_begun(parcel)
        except SpoolUnavailableError:
            self._give_back(parcel)
            return
        await self._assess(parcel, result)

    async def _assess(self, parcel: Parcel, result: AttemptResult) -> None:
        try:
            await self._assessor.assess(parcel, result)
        except Exception:  # noqa: BLE001 - a lease that nobody settles would be held until we end
            _log.exception("assess-failed", id=parcel.id)
            self._assessor.hold_untold(parcel, result)

    async def _note_begun(self, parcel: Parcel) -> None:
        """Let the spool know that a suspect is being handled: if we die now, it was this one (R33)."""
        if parcel.care is not Care.USUAL:
            await self._spool.note_begun(parcel.seq, [duty.n for duty in parcel.duties])

    def _give_back(self, parcel: Parcel) -> None:
        self._window.drop_content(parcel)
        self._assessor.give_back(parcel)
