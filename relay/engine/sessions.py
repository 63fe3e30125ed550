"""Sessions: the tasks that serve the lines, one a session.

Stands between the lines and the attempt. A task takes parcels from its line until none comes, the session has carried
its share, or the far side has had enough; whatever happens, no parcel it took is forgotten.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Final, assert_never

from relay.clock import Clock
from relay.egress.contract import Session
from relay.engine.attempt import Attempter, AttemptResult, internal_failure
from relay.engine.conduct import Conduct, Then
from relay.engine.content import ContentReader
from relay.engine.custody import Custody
from relay.engine.gate import LEAD, LONG, NoPermitError, Permit
from relay.engine.line import SiteLine, Standing
from relay.engine.refusals import Departure, Refusals
from relay.engine.site import SiteLines
from relay.engine.warming import Warming
from relay.engine.ways import Ways
from relay.engine.window import STREAMED
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.outcome import Outcome, Phase, Scope
from relay.policy.quarantine import Care
from relay.policy.route import Plan
from relay.spool.work import Parcel

_log = Log("dispatcher")

MAX_TURNED_AWAY: Final = 5
"""Refused sessions after which a parcel's attempt counts, whatever other sessions meet."""


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What sessions work with; `idle` is how many seconds one waits for the next parcel."""

    custody: Custody
    lines: SiteLines
    ways: Ways
    conduct: Conduct
    attempter: Attempter
    contents: ContentReader
    refusals: Refusals
    clock: Clock
    idle: float


class Sessions:
    """All sessions of a worker. `line_up` finds a path for a parcel, and a place in its line."""

    def __init__(self, parts: SessionParts, line_up: Callable[[Parcel, Plan], None]) -> None:
        self._custody = parts.custody
        self._tasks = parts.custody.tasks
        self._window = parts.custody.window
        self._lines = parts.lines
        self._ways = parts.ways
        self._conduct = parts.conduct
        self._attempter = parts.attempter
        self._contents = parts.contents
        self._refusals = parts.refusals
        self._clock = parts.clock
        self._idle = parts.idle
        self._line_up = line_up
        self.warming: Warming | None = None
        """What counts letters of young sources, if any is young."""

    def fill(self, line: SiteLine) -> None:
        """Open as many sessions as the line wants now; later, when its gate lets somebody through, again."""
        if self._custody.draining:
            return
        while line.wants_session():
            self._open(line)
        if line.waiting and line.gate.limits and not line.opens_later:
            wait = line.gate.wait()
            if LEAD < wait < inf:
                line.opens_later = True
                self._tasks.start(self._open_later(line, wait - LEAD / 2), f"gate-{line.path}")

    def _open(self, line: SiteLine) -> None:
        line.session_begins()
        self._tasks.start(self._serve(line), f"session-{line.path}")

    async def _open_later(self, line: SiteLine, seconds: float) -> None:
        """Open sessions when the gate is about to let somebody through."""
        await line.pause(min(seconds, LONG))
        line.opens_later = False
        self.fill(line)

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
                if self._custody.draining or line.crowded or (session is None and line.sessions > line.pace.window):
                    break
                if line.gate.limits and line.gate.wait() > self._idle:
                    break  # the sessions that wait for permits are enough
                standing = line.pop() if session is None else await line.next(self._idle)
        finally:
            try:
                if session is not None:
                    await session.quit()
            finally:
                self._end(line)

    def _end(self, line: SiteLine) -> None:
        line.session_ends()
        self.fill(line)
        self._lines.drop_if_empty(line)

    async def deliver_alone(self, line: SiteLine, standing: Standing) -> None:
        """Deliver one parcel on a session of its own, for which another of the path makes room if it has to."""
        if not await line.place():
            self._custody.give_back(standing.parcel)
            return
        session: Session | None = None
        try:
            session = await self._deliver(line, replace(standing, turned_away=MAX_TURNED_AWAY), None)
        finally:
            try:
                if session is not None:
                    await session.quit()
            finally:
                self._end(line)

    async def _deliver(self, line: SiteLine, standing: Standing, session: Session | None) -> Session | None:
        """One attempt and its verdicts; returns the session if it can carry another."""
        parcel = standing.parcel
        domain = parcel.duties[0].recipient.address.domain
        if session is None and line.resting_for(domain, self._clock.now()) is not None:
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
            self._custody.give_back(parcel)
            raise
        except NoPermitError:
            self._custody.give_back(parcel)
            return None
        except SpoolUnavailableError as error:
            _log.warning("content-unread", id=parcel.id, error=error)
            self._custody.give_back(parcel)
            return session
        except Exception:  # noqa: BLE001 - a failure of ours is an outcome too: nothing may be forgotten
            _log.exception("attempt-failed", id=parcel.id)
            if session is not None:
                session.abort()
            outcome = internal_failure(Phase.PERMIT, "the attempt failed on our side")
            await self._custody.settle_unsent(parcel, outcome, broken=True)
            return None
        if result is None:
            self._window.drop_content(parcel)
            return session if session is not None and session.usable else None
        if departure.stopped:
            self._custody.give_back(parcel)
            return result.session
        if self._turned_away(line, standing, result):
            return None
        return await self._conclude(line, standing, result)

    async def _attempt(
        self, line: SiteLine, standing: Standing, session: Session | None, departure: Departure
    ) -> AttemptResult | None:
        """What the attempt gave; None if the parcel was held instead."""
        await self._custody.assessor.keeps_up()
        parcel = standing.parcel
        async with self._window.reading(min(parcel.size, STREAMED) if parcel.content is None else 0):
            await self._custody.note_begun(parcel)
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
            or result.unmet
            or result.refusal_of_path
            or result.pressure
            or others <= 0
            or standing.turned_away >= MAX_TURNED_AWAY
            or self._custody.draining
        ):
            return False
        line.pace = line.pace.refused_beyond(others)
        _log.info("session-refused", path=line.path, window=line.pace.window, reply=result.outcomes[0].reply)
        line.rejoin(standing)
        return True

    async def _conclude(self, line: SiteLine, standing: Standing, result: AttemptResult) -> Session | None:
        try:
            self._learn(line, standing, result)
            if self._moved(standing, result):
                return None
            self._window.drop_content(standing.parcel)
            if self.warming is not None:
                result = self.warming.concluded(standing.parcel, standing.way, result)
            await self._custody.assess(standing.parcel, result)
        except BaseException:
            if result.session is not None:
                result.session.abort()
            raise
        return result.session

    def _learn(self, line: SiteLine, standing: Standing, result: AttemptResult) -> None:
        match self._conduct.learn(line, standing, result):
            case Then.STAY:
                pass
            case Then.FILL:
                self.fill(line)
            case Then.LINE_UP_AGAIN:
                for one in list(line.drain()):
                    self._line_up(one.parcel, one.way.plan)
            case Then.GIVE_BACK:
                for one in line.drain():
                    self._custody.give_back(one.parcel)
            case never:
                assert_never(never)

    def _moved(self, standing: Standing, result: AttemptResult) -> bool:
        """Whether the same attempt goes on from another source: ours failed, or had none of an IP version (B07)."""
        if result.reached or self._custody.draining or standing.parcel.care is Care.ALONE:
            return False
        parcel, way, outcome = standing.parcel, standing.way, result.outcomes[0]
        now = self._clock.now()
        ways = self._ways.ways(parcel, way.plan, now)
        left = standing.left | {way.source.name}
        for other in ways if not isinstance(ways, Outcome) else ():
            untried = outcome.scope is Scope.SOURCE or not set(other.candidates) <= set(way.candidates)
            may_leave = self.warming is None or self.warming.may_leave(parcel, other)
            if untried and may_leave and other.source.name not in left and not self._lines.rests(other.path, now):
                line = self._lines.line(other.path, now)
                note = f"not from {way.source.name}: {outcome.reply.text}; from {other.source.name} now"
                line.join_first(replace(standing, way=replace(other, notes=(*way.notes, note)), left=left))
                if line.wants_session():
                    self._open(line)
                return True
        return False
