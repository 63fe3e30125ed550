"""The faults of a seed, each begun at its time and ended at its time; healing ends them all."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from relay.errors import SpoolUnavailableError
from relay.ids import SpoolId
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Suspension, Verb
from relay.spool.sqlite import SqliteSpool
from tests.simulation.disk import DiskTrouble
from tests.simulation.loop import WORLD, Life
from tests.simulation.options import Fault, Options
from tests.simulation.provider import Habits, Provider
from tests.simulation.zone import DnsTrouble

if TYPE_CHECKING:
    from tests.simulation.world import World

_DOWN: Final = ("silent", "refused", "dark")


class Faults:
    """Lets the faults of the options happen in a world."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._providers: list[Provider] = list(world.network.providers.values())
        self._good: list[Habits] = [replace(provider.habits) for provider in self._providers]
        self._random = world.random("faults")
        self._asking: set[asyncio.Task[None]] = set()

    async def happen(self, seconds: float) -> None:
        """The safety phase: every fault in its time."""
        begun = self._world.loop.time()
        for fault in sorted(self._options.faults, key=lambda fault: fault.at):
            await asyncio.sleep(max(0.0, begun + fault.at - self._world.loop.time()))
            self._world.trace(f"fault {fault.kind} {fault.target} {fault.seconds} {fault.degree}")
            self._begin(fault)
        await asyncio.sleep(max(0.0, begun + seconds - self._world.loop.time()))

    def heal(self) -> None:
        """The liveness phase begins: no fault is left, and whoever is down is up."""
        world = self._world
        self._heal_disk()
        self._heal_dns()
        for number in range(len(self._providers)):
            self._heal_provider(number)
        for node in world.nodes:
            if node.life is not None:
                world.loop.thaw(node.life)
            node.start()
        self._own(asyncio.create_task(self._release()))

    async def end(self) -> None:
        """Let nobody ask anything any more."""
        for task in sorted(self._asking, key=hash):
            task.cancel()
        await asyncio.gather(*sorted(self._asking, key=hash), return_exceptions=True)

    def _begin(self, fault: Fault) -> None:
        world = self._world
        node = world.nodes[fault.target % len(world.nodes)]
        match fault.kind:
            case "kill":
                if node.life is not None:
                    node.kill(node.life, fault.seconds)
            case "kill-in-commit":
                self._disk(DiskTrouble(crash=fault.degree), fault.seconds)
            case "stop":
                node.restart(fault.seconds)
            case "pause":
                if node.life is not None:
                    self._pause(node.life, fault.seconds)
            case "clock":
                world.clock.offset += fault.seconds
            case "dns":
                world.zone.trouble = DnsTrouble(fault.degree / 2, fault.degree / 2, 5.0)
                self._later(fault.seconds, self._heal_dns)
            case "disk":
                self._disk(self._trouble(fault), fault.seconds)
            case "provider":
                self._providers[fault.target].habits.down = _DOWN[int(fault.degree)]
                self._later(fault.seconds, self._heal_provider, fault.target)
            case "habits":
                self._misbehave(fault)
            case "operator":
                if node.spool is not None and node.life is not None:
                    asking = world.loop.create_task(self._ask(node.spool, fault.degree), context=node.life.context)
                    self._own(asking)
            case _:
                raise AssertionError(fault.kind)

    def _own(self, task: asyncio.Task[None]) -> None:
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def _later(self, seconds: float, work: object, *args: object) -> None:
        self._world.loop.call_later(seconds, work, *args, context=WORLD)  # type: ignore[arg-type]

    def _pause(self, life: Life, seconds: float) -> None:
        if not life.alive:
            return
        self._world.loop.freeze(life)
        self._later(seconds, self._world.loop.thaw, life)

    def _disk(self, trouble: DiskTrouble, seconds: float) -> None:
        self._world.disk.trouble = trouble
        self._later(seconds, self._heal_disk)

    @staticmethod
    def _trouble(fault: Fault) -> DiskTrouble:
        match fault.target:
            case 0:
                return DiskTrouble(fails=fault.degree)
            case 1:
                return DiskTrouble(full=fault.degree)
            case 2:
                return DiskTrouble(unknown=fault.degree)
            case 3:
                return DiskTrouble(read=fault.degree)
            case _:
                return DiskTrouble(seconds=5 * fault.degree, fails=0.05)

    def _misbehave(self, fault: Fault) -> None:
        habits = self._providers[fault.target].habits
        share = fault.degree / 2
        habits.ends, habits.resets, habits.defers = share * self._random.random(), share, share * self._random.random()
        habits.drops, habits.sulks = share * self._random.random(), share * self._random.random() / 3
        self._later(fault.seconds, self._heal_provider, fault.target)

    def _heal_disk(self) -> None:
        self._world.disk.trouble = DiskTrouble()

    def _heal_dns(self) -> None:
        self._world.zone.trouble = DnsTrouble()

    def _heal_provider(self, number: int) -> None:
        good = self._good[number]
        self._providers[number].habits = replace(good)

    async def _ask(self, spool: SqliteSpool, chance: float) -> None:
        """An operator asks something about one domain or about some letter; refusals of the spool are their loss."""
        acknowledged = list(self._world.ledger.acknowledged)
        where = QueueFilter(domain=f"p{int(chance * 97) % self._options.providers}.example")
        if acknowledged and chance > 0.5:
            where = QueueFilter(message=SpoolId(acknowledged[int(chance * 7919) % len(acknowledged)]))
        verb = tuple(Verb)[int(chance * 1009) % len(Verb)]
        window = timedelta(seconds=int(chance * 31) % 2 * 30)
        try:
            receipt = await spool.ask(verb, where, "simulated", window)
            if receipt.id is not None and chance < 0.2:
                await asyncio.sleep(5)
                await spool.undo(receipt.id)
            if chance > 0.8:
                until = self._world.clock.now() + timedelta(seconds=120)
                await spool.suspend(Suspension(0, "", where.domain, "", until, "simulated"))
        except SpoolUnavailableError:
            pass

    async def _release(self) -> None:
        """What operators held goes on when they look again; repeated, for held mail may come later."""
        while True:
            for node in self._world.nodes:
                if node.spool is not None:
                    with contextlib.suppress(SpoolUnavailableError):
                        await node.spool.ask(Verb.RELEASE, QueueFilter(limit=10_000), "simulated", timedelta())
                    break
            await asyncio.sleep(300)
