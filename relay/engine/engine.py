"""The engine as one thing: built once by the node from its parts, started, drained and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.egress.contract import Dialer
from relay.engine.admission import Admissions
from relay.engine.alarms import Alarms
from relay.engine.assess import Assessor
from relay.engine.attempt import Attempter
from relay.engine.brakes import Brakes
from relay.engine.content import ContentReader
from relay.engine.dispatcher import Dispatcher, DispatcherOptions, DispatcherParts
from relay.engine.intake import FastPath, MailIntake
from relay.engine.janitor import Janitor
from relay.engine.learning import Learner, LearnerParts
from relay.engine.lease import Lease
from relay.engine.notice import Notices
from relay.engine.prelude import PreludeWriter
from relay.engine.preparing import IntakeOptions, IntakeParts
from relay.engine.refusals import Refusals
from relay.engine.reply_address import ReplyAddresses
from relay.engine.return_path import KEPT, ReturnPaths
from relay.engine.scheduler import Scheduler
from relay.engine.settler import Settler
from relay.engine.shaper import Shaper
from relay.engine.unsubscribe import UnsubscribeFields
from relay.engine.ways import Ways
from relay.errors import SpoolUnavailableError
from relay.figures.book import FigureBook
from relay.ids import Entropy
from relay.log import Log
from relay.mail.address import Address
from relay.policy.complaints import BrakeRules
from relay.policy.diagnosis import Diagnoser
from relay.policy.diagnosis_file import load_diagnoser
from relay.policy.notify import NoticeRule
from relay.policy.pool import Pools
from relay.policy.retry import RetrySchedule
from relay.policy.shaping import Shaping, ShapingBook, Share
from relay.policy.shaping_file import load_shaping
from relay.resolver.routing import Router
from relay.shaping.path_notes import PathNotes
from relay.shaping.warm_ups import WarmUpBook
from relay.signing.contract import Signer
from relay.spool.contract import Spool
from relay.spool.life import Pulse, Terms
from relay.spool.work import Incarnation, NewMessage, Parcel, Settlement
from relay.suppression.book import SuppressionBook
from relay.wary_clock import WaryClock

_log = Log("engine")

LIVING_SECONDS: Final = 10.0
"""How often a worker looks who else lives."""

FLUSH_SECONDS: Final = 3.0
"""How long the last settlements may take when the engine stops."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the engine is told: `delivers` False makes a node that only takes mail in."""

    worker: int
    intake: IntakeOptions
    dispatcher: DispatcherOptions
    schedule: RetrySchedule
    pools: Pools
    keep_content: timedelta
    notices: NoticeRule = field(default_factory=NoticeRule)
    delivers: bool = True
    brake: BrakeRules | None = None
    """None: complaints slow and stop nothing."""
    workers: int = 1
    terms: Terms = field(default_factory=Terms)
    share: Share = field(default_factory=Share)
    """Which worker this is of how many, until it is known who lives."""


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What the engine works with: services and the sources of time and chance."""

    spool: Spool
    signer: Signer
    router: Router
    dialer: Dialer
    clock: Clock
    entropy: Entropy
    returns: ReturnPaths = KEPT
    diagnoser: Diagnoser = field(default_factory=load_diagnoser)
    shaping: ShapingBook = field(default_factory=load_shaping)
    suppressions: SuppressionBook | None = None
    """None: nobody is under a standing refusal."""
    wrote: Callable[[Address], None] = lambda _: None
    """Hears of the From of mail that is being accepted."""
    links: UnsubscribeFields | None = None
    """None: one-click unsubscribe is offered by nobody here."""
    replies: ReplyAddresses | None = None
    """None: no letter gets a reply address of its own."""
    figures: FigureBook | None = None
    """None: nothing is counted, and nothing learnt from what happens."""
    warm_ups: WarmUpBook | None = None
    """None: every source counts as warm."""
    notes: PathNotes | None = None
    """None: each worker finds out by itself which paths are dead."""
    hash_only: frozenset[int] = frozenset()
    """Tenants of whose refusing readers a keyed hash alone is kept."""


class Engine:
    """Intake and delivery of one worker. `ended` is called when others ended this life of it."""

    def __init__(self, options: EngineOptions, parts: EngineParts, ended: Callable[[Pulse], None]) -> None:
        self._options = options
        self._parts = parts
        spool, clock = parts.spool, WaryClock.of(parts.clock)
        self._clock = clock
        name = options.intake.node_name
        self.alarms = Alarms(spool, clock)
        self.lease = self._lease = Lease(spool, clock, ended, options.terms)
        self._settler = Settler(spool, self._lease, self._settled)
        prelude = PreludeWriter(parts.signer, clock, parts.entropy, parts.returns)
        self.intake = MailIntake(
            options.intake,
            IntakeParts(
                spool,
                parts.signer,
                prelude,
                self.alarms,
                clock,
                parts.entropy,
                book=parts.suppressions,
                links=parts.links,
                replies=parts.replies,
                wrote=parts.wrote,
                may_wait=options.pools.may_wait,
            ),
            FastPath(self._fast_lease, lambda: self._lease.incarnation, self._hand_over),
        )
        self._brakes = self._make_brakes()
        self.ways = Ways(options.pools)
        self._attempter = Attempter(parts.dialer, parts.diagnoser, clock, self._lease.holds, parts.returns)
        self._shaper = Shaper(parts.shaping, options.share, self.alarms)
        assessor = Assessor(
            self._settler,
            Notices(name, spool, self.intake.prepare, options.notices),
            options.schedule,
            clock=clock,
            entropy=parts.entropy,
        )
        work = DispatcherParts(
            router=parts.router,
            attempter=self._attempter,
            ways=self.ways,
            shaper=self._shaper,
            contents=ContentReader(spool, prelude, self._settler, self.alarms, name),
            refusals=Refusals(parts.suppressions, self._settler),
            assessor=assessor,
            spool=spool,
            clock=clock,
            brakes=self._brakes,
            warm_ups=parts.warm_ups if options.pools.warming() else None,
            notes=parts.notes,
        )
        self._dispatcher = Dispatcher(options.dispatcher, work)
        self.admissions = Admissions(work.warm_ups, parts.router, self.ways, self._shaper, clock)
        self._living: asyncio.Task[None] | None = None
        self._scheduler = Scheduler(spool, self._lease, self._dispatcher, clock, options.schedule.longest)
        self._learner = self._make_learner()
        self._janitor = Janitor(spool, clock, options.keep_content, self.alarms, self._scheduler.wake)

    def _make_learner(self) -> Learner | None:
        parts, options = self._parts, self._options
        if parts.figures is None or parts.suppressions is None:
            return None
        holder = f"{options.intake.node_name}/{options.worker}"
        provider_of = parts.diagnoser.provider_of
        books = LearnerParts(
            parts.spool, parts.figures, parts.suppressions, self._clock, parts.warm_ups, parts.hash_only
        )
        return Learner(books, holder, provider_of, options.brake)

    def _make_brakes(self) -> Brakes | None:
        rules = self._options.brake
        if rules is None or self._parts.figures is None:
            return None
        return Brakes(self._parts.figures, self.alarms, rules, self._parts.clock, 1 / self._options.workers)

    async def start(self) -> None:
        """Register this life and begin to work. Raises SpoolUnavailableError."""
        self._clock.heed(await self._parts.spool.last_alive())
        await self._lease.start(self._options.intake.node_name, self._options.worker)
        await self.alarms.load()
        if self._parts.suppressions is not None:
            await self._parts.suppressions.start()
        self._settler.start()
        if self._learner is not None:
            self._learner.start()
        if self._brakes is not None:
            await self._brakes.start()
        self._janitor.start()
        if self._options.delivers:
            await self.heed()  # before any path is new here
            self._living = asyncio.create_task(self._watch_living(), name="living")
            self._scheduler.start()
            self._parts.spool.on_wake(self._scheduler.wake)

    async def drain(self, seconds: float) -> bool:
        """Stop taking work, finish what is under way within `seconds`, give the rest back, stop.

        False if the spool could not be told of all that was sent.
        """
        await self._scheduler.stop()
        await self._janitor.stop()
        if self._living is not None:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)
        await self._dispatcher.drain(seconds)
        if self._learner is not None:
            await self._learner.stop()
        if self._brakes is not None:
            await self._brakes.stop()
        if self._parts.suppressions is not None:
            await self._parts.suppressions.stop()
        settled = await self._settler.flush(FLUSH_SECONDS)
        await self._dispatcher.flush()
        await self._settler.stop()
        await self._lease.stop()
        return settled

    def provider_of(self, host: str, domain: str) -> str:
        """Whose a host, else a domain, is by the rules in force; "" = nobody's we know."""
        return self._attempter.diagnoser.provider_of(host, domain)

    def shaping_of(self, exchangers: Sequence[str], domains: Sequence[str]) -> Shaping:
        """What applies to a site with these exchangers that takes mail for these domains, by the rules in force."""
        return self._shaper.book.shaping(exchangers, *domains)

    def use(self, diagnoser: Diagnoser, shaping: ShapingBook) -> None:
        """From now on, understand replies and limit paths by these rules."""
        self._attempter.diagnoser = diagnoser
        self._shaper.use(shaping)

    async def _watch_living(self) -> None:
        """Keep this worker's share of every path's limits right: who begins or ends changes it for all.

        Workers of a node start together: one that sees fewer than are to be keeps its part of the whole for a round.
        """
        expected, share = self._options.workers, self._options.share
        while True:
            try:
                await self.heed()
                lives = await self._parts.spool.living()
                # By name, so that a worker that was started again has the place of the one that died.
                places = [life.incarnation for life in sorted(lives, key=lambda life: (life.node, life.worker))]
            except SpoolUnavailableError as error:
                _log.warning("living-unknown", error=error)
            else:
                if self._lease.incarnation in places and len(places) >= expected:
                    share = share.then(places.index(self._lease.incarnation), len(places))
                    self._dispatcher.share(share)
                expected = 0
            await asyncio.sleep(LIVING_SECONDS)

    async def heed(self) -> None:
        """Keep to what is suspended, and to what others found of paths. Raises SpoolUnavailableError."""
        await self._dispatcher.follow_suspensions()
        await self.exchange_notes()

    async def exchange_notes(self) -> None:
        """Share what was found of paths with the other workers. Raises SpoolUnavailableError."""
        await self._dispatcher.share_notes(self._lease.incarnation)

    def _fast_lease(self, message: NewMessage) -> Incarnation | None:
        if self._options.delivers and self._dispatcher.accepts(message) and self._lease.holds():
            return self._lease.incarnation
        return None

    def _hand_over(self, parcel: Parcel) -> None:
        self._dispatcher.take(parcel)

    def _settled(self, settlements: Sequence[Settlement]) -> None:
        self._dispatcher.released(settlements)
        self._scheduler.room_came()
        if any(settlement.notice is not None for settlement in settlements):
            self._scheduler.wake()
