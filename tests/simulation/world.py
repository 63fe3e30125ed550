"""One seed, from its first letter to the last: a safety phase with faults, then a liveness phase in which all drains.

Users, workers, providers, DNS, disk and clock share one loop of simulated time, and every chance is drawn from the
seed; the trace of all that happened is hashed, so that two runs of a seed can be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from relay.settings import Settings, settings_from
from relay.signing.signer import DkimSigner
from tests.simulation.clock import VirtualClock
from tests.simulation.disk import Disk, DiskTrouble
from tests.simulation.faults import Faults
from tests.simulation.invariants import Spoolcheck
from tests.simulation.ledger import Ledger
from tests.simulation.loop import Life, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.node import Machine, SimulatedNode
from tests.simulation.options import SAFETY_SECONDS, Options, draw
from tests.simulation.people import People
from tests.simulation.provider import Habits, Provider
from tests.simulation.zone import Zone

NODE: Final = "relay.example"
KEPT_LINES: Final = 400
LIVENESS_SECONDS: Final = 8 * 86400.0


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of a seed showed."""

    options: Options
    trace_hash: str
    simulated_seconds: float
    accepted: int
    states: dict[str, int]
    attempts: int
    lost: int
    duplicates: dict[str, int]
    late: int
    broken: tuple[str, ...]
    lines: tuple[str, ...]
    """The history: all of it if that was asked for, its last lines if something broke, else nothing."""

    @property
    def ok(self) -> bool:
        """Whether every invariant held and nothing is lost."""
        return not self.broken and not self.lost

    def shown(self) -> dict[str, Any]:
        """As plain values: what the command prints."""
        return {
            "seed": self.options.seed,
            "ok": self.ok,
            "simulated_seconds": round(self.simulated_seconds, 3),
            "accepted": self.accepted,
            "states": self.states,
            "attempts": self.attempts,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "late_results": self.late,
            "invariants": list(self.broken) or "held",
            "trace": self.trace_hash,
            "options": self.options.shown(),
            **({} if self.ok else {"last_lines": list(self.lines[-KEPT_LINES:])}),
        }


class Trace:
    """The history of a run, hashed line by line; its last lines, or all, are kept for people."""

    def __init__(self, loop: VirtualLoop, kept_lines: int | None = KEPT_LINES) -> None:
        self._loop = loop
        self._hash = hashlib.sha256()
        self.lines: deque[str] = deque(maxlen=kept_lines)

    def __call__(self, line: str) -> None:
        text = f"{self._loop.time():.6f} {line}"
        self._hash.update(text.encode() + b"\n")
        self.lines.append(text)

    @property
    def hexdigest(self) -> str:
        """The hash of everything so far."""
        return self._hash.hexdigest()[:16]


class _Breakages(logging.Handler):
    """What the relay itself logs as broken (an exception nobody expected) is a broken invariant."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(logging.ERROR)
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None or record.getMessage() == "task-failed":
            self._ledger.broken.append(f"{record.getMessage()}: {error!r} {getattr(record, 'facts', {})}")


@contextlib.contextmanager
def watched_log(ledger: Ledger) -> Iterator[None]:
    """Nothing is printed, and exceptions that the relay logs are entered into the ledger."""
    logger = logging.getLogger("leak")
    level, propagate, handler = logger.level, logger.propagate, _Breakages(ledger)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextlib.contextmanager
def spool_folder() -> Iterator[Path]:
    """A folder for one spool, in memory where the system has such a place."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="leak-sim-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """No search for unreachable cycles meanwhile: a sixth of a seed's time, for a few megabytes."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def settings_of(folder: Path, workers: int, warm_up: str = "", **delivery: Any) -> Settings:
    """The settings of a simulated node; `warm_up` is the day on which its source begins to warm up."""
    return settings_from(
        {
            "node": {"name": NODE, "workers": workers},
            "spool": {"url": "sqlite:spool.db", "minimum_free": 1},
            "delivery": {"allow_private_addresses": True, **delivery},
            "egress": {"source": [{"name": "one", "address": "10.255.0.1", "warm_up": warm_up}]},
        },
        folder,
    )


@dataclass(eq=False)
class World:
    """Everything there is, wired; a scenario of its own builds one and uses the parts."""

    loop: VirtualLoop
    folder: Path
    seed: int
    settings: Settings
    workers: int
    ledger: Ledger = field(default_factory=Ledger)
    checks: bool = True
    kept_lines: int | None = KEPT_LINES
    """How much of the history is kept; None is all."""

    def __post_init__(self) -> None:
        self.trace = Trace(self.loop, self.kept_lines)
        path = self.folder / "spool.db"
        self.spoolcheck = Spoolcheck(path, self.ledger, self.trace)
        committed = self.spoolcheck.committed if self.checks else lambda: None
        self.disk = Disk(self.random("disk"), DiskTrouble(), committed, self._crash)
        self.zone = Zone(self.random("dns"))
        self.network = Network(self.random("network"), self.ledger, trace=self.trace)
        self.network.is_final = self.ledger.is_final
        self.clock = VirtualClock(self.loop)
        signer = DkimSigner(self.folder, (), 0)
        self.machine = Machine(
            self.loop,
            self.clock,
            path,
            self.disk,
            self.zone,
            self.network,
            signer,
            self.settings,
            self.random("lives"),
            self.trace,
        )
        self.nodes = [SimulatedNode(self.machine, worker, self.workers) for worker in range(self.workers)]
        self.loop.set_exception_handler(self._unhandled)

    def random(self, name: str) -> Random:
        """The chances of one part of the world: drawing from one never moves another."""
        return Random(f"{name}/{self.seed}")

    def add_provider(self, domain: str, provider: Provider) -> None:
        """Let a provider take the mail of `domain`; providers get the addresses 10.0.0.1 and up."""
        number = len(self.network.providers) + 1
        address = f"10.0.{number // 250}.{number % 250}"
        self.network.providers[address] = provider
        self.zone.host(domain, address)

    def _crash(self, life: Life) -> None:
        for node in self.nodes:
            node.kill(life, 0.5)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.ledger.broken.append(f"unhandled: {context.get('message')}: {context.get('exception')!r}")

    async def stop(self) -> None:
        """Stop the workers in good order."""
        for node in self.nodes:
            await node.stop()
        open_sessions = sum(provider.open_sessions for provider in self.network.providers.values())
        if open_sessions:
            self.ledger.broken.append(f"{open_sessions} sessions were never closed")


def run_seed(seed: int) -> Result:
    """Run one seed to its end."""
    return run_options(draw(seed))


def run_options(options: Options, kept_lines: int | None = KEPT_LINES) -> Result:
    """Run a world as drawn; with `kept_lines` None the result has its whole history."""
    loop = VirtualLoop()
    ledger = Ledger()
    with without_collector(), spool_folder() as folder, watched_log(ledger):
        settings = settings_of(
            folder,
            options.workers,
            retry=list(options.retry),
            expire_after=options.expire_after,
            window=options.window,
        )
        world = World(loop, folder, options.seed, settings, options.workers, ledger, kept_lines=kept_lines)
        try:
            return loop.run_until_complete(_live(world, options))
        finally:
            world.spoolcheck.close()
            loop.close()


async def _live(world: World, options: Options) -> Result:
    random = world.random("habits")
    for number in range(options.providers):
        habits = Habits(way=random.uniform(0.002, 0.1), work=random.uniform(0.01, 1.0))
        habits.greylists = random.choice((0.0, 0.0, 0.0, 20.0))
        world.add_provider(f"p{number}.example", Provider(f"p{number}", habits))
    world.zone.null("null.example")
    for node in world.nodes:
        node.start()
    people = People(world.nodes, world.ledger, world.random("people"), options)
    faults = Faults(world, options)
    users = asyncio.create_task(people.write(SAFETY_SECONDS))
    await faults.happen(SAFETY_SECONDS)
    world.trace("healed")
    faults.heal()
    await users
    await _drain(world)
    await faults.end()
    await world.stop()
    world.spoolcheck.whole()
    lost = world.spoolcheck.lost()
    duplicates = Counter(world.ledger.duplicates)
    duplicates["d"] = people.sent_twice
    return Result(
        options=options,
        trace_hash=world.trace.hexdigest,
        simulated_seconds=world.loop.time(),
        accepted=len(world.ledger.acknowledged),
        states=world.spoolcheck.states(),
        attempts=sum(provider.tally.attempts for provider in world.network.providers.values()),
        lost=len(lost),
        duplicates={reason: count for reason, count in sorted(duplicates.items()) if count},
        late=world.spoolcheck.late,
        broken=tuple(world.ledger.broken),
        lines=tuple(world.trace.lines) if world.kept_lines is None or world.ledger.broken or lost else (),
    )


async def _drain(world: World) -> None:
    """Wait until every delivery is final; what never becomes so breaks the promise."""
    deadline = world.loop.time() + LIVENESS_SECONDS
    pause = 1.0
    while world.spoolcheck.open_deliveries():
        if world.loop.time() > deadline:
            world.ledger.broken.append(f"does not drain: {'; '.join(world.spoolcheck.unfinished())}")
            return
        await asyncio.sleep(pause)
        pause = min(pause * 1.2, 600.0)
