"""A worker of the relay in the simulation: the production engine on the production spool, started, stopped, killed.

Settings become options through `relay.making`, so the simulation follows what a node really runs with. A life that
ended is replaced by a new one on the same spool, as a supervisor does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random

from relay.account.book import MIGRATIONS as ACCOUNT_MIGRATIONS
from relay.engine.engine import Engine, EngineParts
from relay.engine.submission import Accepted, Refusal, Submission
from relay.errors import SpoolUnavailableError
from relay.figures.book import FigureBook
from relay.ids import SeededEntropy
from relay.making import engine_options, make_router
from relay.policy.diagnosis import Diagnoser
from relay.policy.diagnosis_file import load_diagnoser
from relay.policy.shaping import ShapingBook
from relay.policy.shaping_file import load_shaping
from relay.settings import Settings
from relay.shaping.warm_ups import WarmUpBook
from relay.signing.contract import Signer
from relay.spool.sqlite import SqliteSpool
from tests.simulation.clock import VirtualClock
from tests.simulation.disk import Disk, SimulatedDatabase
from tests.simulation.loop import WORLD, Life, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.zone import Zone
from tests.support.suppressions import book_on

DRAIN_SECONDS = 15.0
ANSWER_SECONDS = 120.0


@cache
def _rule_books() -> tuple[Diagnoser, ShapingBook]:
    """The rules that come with the program: pure values, which every life would otherwise read anew."""
    return load_diagnoser(), load_shaping()


@dataclass(eq=False)
class Machine:
    """What the workers of one machine share."""

    loop: VirtualLoop
    clock: VirtualClock
    path: Path
    disk: Disk
    zone: Zone
    network: Network
    signer: Signer
    settings: Settings
    random: Random
    trace: Callable[[str], None]


class SimulatedNode:
    """One worker and its lives."""

    def __init__(self, machine: Machine, worker: int, workers: int) -> None:
        self._machine = machine
        self._worker = worker
        self._workers = workers
        self._lives = 0
        self._stopping = False
        self.life: Life | None = None
        self.engine: Engine | None = None
        self.spool: SqliteSpool | None = None
        self.warm_ups: WarmUpBook | None = None
        self._database: SimulatedDatabase | None = None
        self._wanted = False

    @property
    def up(self) -> bool:
        """Whether it takes mail."""
        return self.engine is not None and not self._stopping

    def start(self) -> None:
        """Begin a life."""
        self._wanted = True
        if self.life is not None:
            return
        self._lives += 1
        self._stopping = False
        self.life = Life(f"{self._worker}.{self._lives}")
        self._machine.trace(f"start {self.life.name}")
        loop = self._machine.loop
        loop.create_task(self._begin(self.life), context=self.life.context)

    async def _begin(self, life: Life) -> None:
        try:
            await self._build(life)
        except SpoolUnavailableError:
            self.kill(life, 1.0)  # the process ends with an error, and its supervisor starts it again

    async def _build(self, life: Life) -> None:
        machine = self._machine
        database = self._database = await SimulatedDatabase.on(machine.path, machine.disk, life)
        await database.migrate("account", ACCOUNT_MIGRATIONS)
        spool = SqliteSpool(database, machine.clock, 1)
        await spool.migrate()
        entropy = SeededEntropy(machine.random.getrandbits(64))
        router = make_router(machine.settings, machine.zone, entropy)
        diagnoser, shaping = _rule_books()
        parts = EngineParts(
            spool, machine.signer, router, machine.network, machine.clock, entropy, diagnoser=diagnoser, shaping=shaping
        )
        options = engine_options(machine.settings, self._worker, self._workers)
        if options.pools.warming():
            parts = await self._with_judges(parts, database)
        engine = Engine(options, parts, lambda _: self._replaced(life))
        await engine.start()
        self.spool, self.engine = spool, engine

    async def _with_judges(self, parts: EngineParts, database: SimulatedDatabase) -> EngineParts:
        """The parts with what judges the days of a warm-up: its book, and the figures and refusals beside it."""
        clock = self._machine.clock
        figures, refusals, warm_ups = FigureBook(database, clock), book_on(database, clock), WarmUpBook(database, clock)
        for book in (figures, refusals, warm_ups):
            await book.migrate()
        self.warm_ups = warm_ups
        return replace(parts, figures=figures, suppressions=refusals, warm_ups=warm_ups)

    def _replaced(self, life: Life) -> None:
        """Another took our place: the worker ends in good order and its supervisor starts it anew."""
        self._machine.trace(f"replaced {life.name}")
        self._machine.loop.call_soon(self.restart, 1.0, context=WORLD)

    def restart(self, seconds: float) -> None:
        """SIGTERM, and another start `seconds` after the end."""
        if self.life is not None and self.life.alive and self.engine is not None and not self._stopping:
            self._stopping = True
            self._machine.loop.create_task(self._end(self.life, seconds), context=self.life.context)

    async def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        self._wanted = False
        if self.life is not None and self.engine is None:
            self.kill(self.life)
        elif self.life is not None:
            life = self.life
            self.restart(0.0)
            while self.life is life:
                await asyncio.sleep(1.0)

    async def _end(self, life: Life, seconds: float) -> None:
        engine, database = self.engine, self._database
        if engine is None or database is None:
            return
        self._machine.trace(f"drain {life.name}")
        life.left_unsettled = not await engine.drain(DRAIN_SECONDS)
        await database.close()
        life.alive = False
        self._ended(life, seconds)

    def kill(self, life: Life, seconds: float = 0.0) -> None:
        """kill -9 of a life (nothing if it is another one), and another start after `seconds`."""
        if self.life is not life or not life.alive:
            return
        self._machine.trace(f"kill {life.name}")
        self._machine.loop.kill(life)
        database = self._database
        if database is not None:
            # Not now: the kill may come from inside the commit.
            self._machine.loop.call_soon(database.abandon, context=WORLD)
        self._ended(life, seconds)

    def _ended(self, life: Life, seconds: float) -> None:
        self.engine = self.spool = self._database = None
        self.life = None
        self._stopping = False
        if self._wanted:
            self._machine.loop.call_later(seconds, self._again, context=WORLD)

    def _again(self) -> None:
        if self._wanted:
            self.start()

    async def submit(self, submission: Submission) -> Accepted | Refusal | None:
        """Hand a submission to this worker's door; None when no answer came: nobody knows what became of it."""
        engine, life = self.engine, self.life
        if engine is None or life is None:
            return None
        door = self._machine.loop.create_task(engine.intake.submit(submission), context=life.context)
        await asyncio.wait({door}, timeout=ANSWER_SECONDS)
        return door.result() if door.done() and not door.cancelled() else None
