"""The dispatcher: takes leased parcels, lets them stand in line by site, and opens sessions to serve the lines.

Everything it holds is leased and counted in a bounded window, so memory stays flat however long the queue is.
One task serves one session: it takes parcels from its line until none comes, the session has carried its
share, or the far side has had enough. A slow site holds up its own line only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from relay import metrics
from relay.clock import Clock
from relay.egress.contract import Session
from relay.engine.assess import Assessor
from relay.engine.attempt import Attempter, AttemptResult, internal_failure
from relay.engine.content import ContentReader
from relay.engine.site import SiteLine
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.route import Plan
from relay.resolver.routing import Router
from relay.smtp.reply import reply
from relay.spool.contract import Parcel, Spool

_log = Log("dispatcher")

_PLAN_SECONDS: Final = 5.0
"""How long a domain's plan is used without asking the router again."""


_MAX_SITES: Final = 20_000


@dataclass(frozen=True, slots=True)
class DispatcherOptions:
    """Bounds: deliveries and octets in memory, sessions a site and messages a session, seconds a session idles."""

    window: int = 2000
    octets: int = 64_000_000
    line: int = 500
    sessions_per_site: int = 20
    messages_per_session: int = 100
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
        contents: ContentReader,
        assessor: Assessor,
        spool: Spool,
        clock: Clock,
    ) -> None:
        self._options = options
        self._router = router
        self._attempter = attempter
        self._contents = contents
        self._assessor = assessor
        self._spool = spool
        self._clock = clock
        self._lines: dict[str, SiteLine] = {}
        self._plans: dict[str, tuple[Plan, float]] = {}
        self._sites: dict[tuple[int, str], str] = {}
        self._planning: dict[str, list[Parcel]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held = 0
        self._contents_held: dict[tuple[int, int], int] = {}
        self._plan_of: dict[tuple[int, int], Plan] = {}
        self._octets = 0
        self._draining = False

    @property
    def room(self) -> int:
        """Deliveries that may still be taken."""
        return 0 if self._draining or self._octets >= self._options.octets else self._options.window - self._held

    def accepts(self, size: int) -> bool:
        """Whether the fast path may lease a message of `size` octets now."""
        return self.room > 0 and self._octets + size <= self._options.octets

    def full_domains(self) -> frozenset[str]:
        """Domains whose line is long enough: claims leave their mail in the spool."""
        full = {site for site, line in self._lines.items() if line.waiting >= self._options.line}
        return frozenset(domain for domain, (plan, _) in self._plans.items() if plan.site in full)

    def take(self, parcel: Parcel) -> None:
        """Take a leased parcel: it stays in the window until its settlements are committed."""
        self._held += len(parcel.duties)
        self._count_octets(parcel)
        metrics.window.set(self._held)
        if self._draining:
            self._give_back(parcel)
            return
        if parcel.duties[0].bounce:
            self._own(self._bounce(parcel), f"bounce-{parcel.id}")
            return
        domain = parcel.duties[0].recipient.address.domain
        known = self._plans.get(domain)
        if known is not None and known[1] > self._clock.monotonic():
            self._line_up(parcel, known[0])
        elif domain in self._planning:
            self._planning[domain].append(parcel)
        else:
            self._planning[domain] = [parcel]
            self._own(self._plan(domain), f"plan-{domain}")

    async def _bounce(self, parcel: Parcel) -> None:
        """What an operator asked to bounce is not tried any more."""
        words = reply(550, "5.7.1", parcel.duties[0].bounce)
        outcome = Outcome(Result.PERMANENT, Scope.MESSAGE, Phase.PERMIT, DecidedBy.RELAY, words)
        await self._settle_unsent(parcel, outcome)

    def released(self, deliveries: int) -> None:
        """Settlements of so many deliveries are committed: the window has room again."""
        self._held -= deliveries
        metrics.window.set(self._held)

    async def drain(self, seconds: float) -> None:
        """Start nothing new, let transactions under way finish for up to `seconds`, give the rest back."""
        self._draining = True
        for line in self._lines.values():
            for parcel in line.drain():
                self._give_back(parcel)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _own(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("task-failed", task=task.get_name(), error=repr(task.exception()))

    async def _plan(self, domain: str) -> None:
        """Ask the router once for all parcels of a domain that arrive meanwhile."""
        plan: Plan | Outcome
        try:
            plan = await self._router.plan(domain)
        except Exception:  # noqa: BLE001 - whatever broke, the parcels must not be forgotten
            _log.exception("plan-failed", domain=domain)
            plan = internal_failure(Phase.ROUTE, "the route could not be computed")
        except asyncio.CancelledError:
            for parcel in self._planning.pop(domain):
                self._give_back(parcel)
            raise
        parcels = self._planning.pop(domain)
        if isinstance(plan, Plan):
            self._prune_plans()
            self._plans[domain] = (plan, self._clock.monotonic() + _PLAN_SECONDS)
            self._own(self._note_site({parcel.tenant for parcel in parcels}, domain, plan.site), f"site-{domain}")
        for parcel in parcels:
            if self._draining:
                self._give_back(parcel)
            elif isinstance(plan, Plan):
                self._line_up(parcel, plan)
            else:
                await self._settle_unsent(parcel, plan)

    async def _note_site(self, tenants: set[int], domain: str, site: str) -> None:
        """Let the spool know where the domain's mail goes, when that is news."""
        for tenant in tenants:
            if self._sites.get((tenant, domain)) == site:
                continue
            if len(self._sites) >= _MAX_SITES:
                self._sites.clear()
            self._sites[tenant, domain] = site
            try:
                await self._spool.note_site(tenant, domain, site)
            except SpoolUnavailableError as error:
                _log.warning("site-not-noted", domain=domain, error=error)

    def _prune_plans(self) -> None:
        if len(self._plans) < 2 * self._options.window:
            return
        now = self._clock.monotonic()
        self._plans = {domain: entry for domain, entry in self._plans.items() if entry[1] > now}

    def _line_up(self, parcel: Parcel, plan: Plan) -> None:
        line = self._lines.get(plan.site)
        if line is None:
            line = self._lines[plan.site] = SiteLine(plan.site, self._options.sessions_per_site)
        line.plan = plan
        # Domains of one site share its sessions and limits, not each other's TLS demands.
        self._plan_of[parcel.seq, parcel.duties[0].n] = plan
        if self._rests(line, parcel):
            return
        if line.join(parcel):
            self._open_session(line)

    def _rests(self, line: SiteLine, parcel: Parcel) -> bool:
        """Send a parcel back to wait when its site rests; expired mail is tried, so that it can end."""
        now = self._clock.now()
        if line.suspended_until is None or line.suspended_until <= now or parcel.expires_at <= now:
            return False
        self._forget_octets(parcel)
        self._assessor.wait_for_site(parcel, line.suspended_until)
        return True

    def _open_session(self, line: SiteLine) -> None:
        line.sessions += 1
        self._own(self._serve(line), f"session-{line.site}")

    async def _serve(self, line: SiteLine) -> None:
        """One session's life: parcels until nobody comes, its share is done, or the session ended."""
        session: Session | None = None
        carried = 0
        try:
            parcel = line.pop()
            while parcel is not None:
                session = await self._deliver(line, parcel, session)
                carried += 1
                if session is not None and carried >= self._options.messages_per_session:
                    await session.quit()
                    session, carried = None, 0
                if session is None and not self._draining:
                    parcel = line.pop()
                else:
                    parcel = None if self._draining else await line.next(self._options.session_idle)
        finally:
            line.sessions -= 1
            if session is not None:
                await session.quit()
            if line.waiting and line.wants_session() and not self._draining:
                self._open_session(line)
            elif line.empty and line.suspended_until is None:
                self._lines.pop(line.site, None)

    async def _deliver(self, line: SiteLine, parcel: Parcel, session: Session | None) -> Session | None:
        """One attempt and its verdicts; returns the session if it can carry another."""
        if session is None and self._rests(line, parcel):
            return None
        try:
            return await self._attempt(line, parcel, session)
        except asyncio.CancelledError:
            # What was sent without an answer is unknown to us, and the next attempt may repeat it (promise (c)).
            self._give_back(parcel)
            raise
        except SpoolUnavailableError:
            self._give_back(parcel)
            return session
        except Exception:  # noqa: BLE001 - a failure of ours is an outcome too: nothing may be forgotten
            _log.exception("attempt-failed", id=parcel.id)
            await self._settle_unsent(parcel, internal_failure(Phase.PERMIT, "the attempt failed on our side"))
            return None

    async def _attempt(self, line: SiteLine, parcel: Parcel, session: Session | None) -> Session | None:
        content = await self._contents.read(parcel)
        if content is None:
            self._forget_octets(parcel)
            if session is not None and session.usable:
                return session
            return None
        plan = self._plan_of.get((parcel.seq, parcel.duties[0].n), line.plan)
        if plan is None:
            raise RuntimeError(f"the line of {line.site} has no plan")
        result = await self._attempter.attempt(parcel, content, plan, session)
        self._learn(line, result)
        self._forget_octets(parcel)
        await self._assessor.assess(parcel, result)
        return result.session

    def _learn(self, line: SiteLine, result: AttemptResult) -> None:
        """Let the site's pace and rest follow what was seen."""
        if result.reached:
            line.failures = 0
            line.suspended_until = None
            line.pace = line.pace.succeeded()
            while line.wants_session() and line.waiting:
                self._open_session(line)
            return
        line.pace = line.pace.failed()
        line.failures += 1
        line.suspended_until = self._clock.now() + self._options.rest
        _log.warning("site-rests", site=line.site, until=line.suspended_until, failures=line.failures)
        for parcel in line.drain():
            if not self._rests(line, parcel):
                line.join(parcel)

    async def _settle_unsent(self, parcel: Parcel, outcome: Outcome) -> None:
        self._forget_octets(parcel)
        result = AttemptResult((outcome,) * len(parcel.duties), None, reached=False, transcript=(), duration_ms=0)
        await self._assessor.assess(parcel, result)

    def _give_back(self, parcel: Parcel) -> None:
        self._forget_octets(parcel)
        self._assessor.give_back(parcel)

    def _count_octets(self, parcel: Parcel) -> None:
        if parcel.content is not None:
            self._contents_held[parcel.seq, parcel.duties[0].n] = len(parcel.content)
            self._octets += len(parcel.content)

    def _forget_octets(self, parcel: Parcel) -> None:
        self._octets -= self._contents_held.pop((parcel.seq, parcel.duties[0].n), 0)
        self._plan_of.pop((parcel.seq, parcel.duties[0].n), None)
