"""The stage of a scenario: a world, the providers in it, and what is sampled of it for figures and charts."""

from __future__ import annotations

import asyncio
from typing import Final

from tests.simulation.backlog import Backlog
from tests.simulation.chart import Panel
from tests.simulation.provider import Habits, Provider, ProviderRules, Tally
from tests.simulation.world import World

HOUR: Final = 3600.0


class Stage:
    """A world for a story, and what is sampled of it."""

    def __init__(self, world: World, messages: int) -> None:
        self.world = world
        self.messages = messages
        self.backlog = Backlog(world, tenants=3)
        self.providers: list[Provider] = []
        self.queue = Panel("deliveries waiting and under way")
        self.flow = Panel("a minute")
        self.sessions = Panel("sessions opened a minute")
        self.panels: tuple[Panel, ...] = (self.queue, self.flow, self.sessions)
        self.failures: list[str] = []
        self._before = Tally()

    def provider(self, domain: str, rules: ProviderRules | None = None) -> Provider:
        """A provider of usual speed."""
        provider = Provider(domain, Habits(0.03, 0.1), rules)
        self.providers.append(provider)
        self.world.add_provider(domain, provider)
        return provider

    def total(self) -> Tally:
        """The sums over all providers."""
        tallies = [provider.tally for provider in self.providers]
        return Tally(
            sum(tally.attempts for tally in tallies),
            sum(tally.delivered for tally in tallies),
            sum(tally.refused_by_rate for tally in tallies),
            sum(tally.refused_by_connections for tally in tallies),
            sum(tally.sessions for tally in tallies),
        )

    def sample(self, seconds: float) -> None:
        """One more point of every line; `seconds` have passed since the last."""
        world, at = self.world, self.world.loop.time()
        world.spoolcheck.committed()
        total = self.total()
        passed = total.since(self._before)
        self._before = total
        self.queue.add("all", at, world.spoolcheck.open_deliveries())
        self.flow.add("delivered", at, passed.delivered * 60 / seconds)
        self.flow.add("attempts", at, passed.attempts * 60 / seconds)
        self.flow.add("refused", at, (passed.refused_by_rate + passed.refused_by_connections) * 60 / seconds)
        self.sessions.add("opened", at, passed.sessions * 60 / seconds)

    async def watch(self, until: float, every: float) -> None:
        """Sample until a moment."""
        while self.world.loop.time() < until:
            await asyncio.sleep(every)
            self.sample(every)

    async def drained(self, hours: float, every: float) -> float:
        """Sample until the queue is empty; the hours it took, `hours` at most."""
        begun = self.world.loop.time()
        while self.world.spoolcheck.open_deliveries():
            await asyncio.sleep(every)
            self.sample(every)
            if self.world.loop.time() - begun > hours * HOUR:
                self.must(False, f"the queue is not empty after {hours:g} h")
                break
        return (self.world.loop.time() - begun) / HOUR

    def must(self, holds: bool, words: str) -> None:
        """What must hold, and what it is called when it does not."""
        if not holds:
            self.failures.append(words)
