"""A world for a scenario: its providers and its queue, what is sampled of them, and what must hold in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.simulation.backlog import Backlog
from tests.simulation.chart import Panel, Span
from tests.simulation.provider import Habits, Provider, ProviderRules, Tally
from tests.simulation.world import World

HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Story:
    """What a scenario showed: figures, whether they are as they must be, and a chart."""

    title: str
    figures: dict[str, Any]
    failures: tuple[str, ...]
    panels: tuple[Panel, ...]
    spans: tuple[Span, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything was as it must be."""
        return not self.failures


class Stage:
    """A world for a story, and what is sampled of it."""

    def __init__(self, world: World, messages: int) -> None:
        self.world = world
        self.messages = messages
        self.backlog = Backlog(world, tenants=3)
        self.providers: list[Provider] = []
        self.queue = Panel("deliveries waiting and under way")
        self.flow = Panel("messages a minute")
        self.sessions = Panel("sessions opened a minute")
        self.panels: tuple[Panel, ...] = (self.queue, self.flow, self.sessions)
        self.spans: list[Span] = []
        self.groups: dict[str, list[Provider]] = {}
        """Providers that share a line in the chart; without groups there is one line for all."""
        self.failures: list[str] = []
        self._before: dict[str, Tally] = {}

    def provider(self, domain: str, rules: ProviderRules | None = None) -> Provider:
        """A provider of usual speed."""
        provider = Provider(domain, Habits(0.03, 0.1), rules)
        self.providers.append(provider)
        self.world.add_provider(domain, provider)
        return provider

    def total(self) -> Tally:
        """The sums over all providers."""
        return _sum(self.providers)

    def sample(self, seconds: float) -> None:
        """One more point of every line; `seconds` have passed since the last."""
        world, at = self.world, self.world.loop.time()
        world.spoolcheck.committed()
        queued = world.spoolcheck.queued_by_domain() if self.groups else {}
        for name, providers in self.groups.items():
            self.queue.add(name, at, sum(queued.get(provider.name, 0) for provider in providers))
        if not self.groups:
            self.queue.add("all", at, world.spoolcheck.open_deliveries())
        passed = self._passed("", self.providers)
        self.flow.add("begun", at, passed.attempts * 60 / seconds)
        for name, providers in self.groups.items() or {"": self.providers}.items():
            since = self._passed(f"taken {name}", providers)
            self.flow.add(f"taken: {name}" if name else "taken", at, since.delivered * 60 / seconds)
        self.flow.add("refused for the rate", at, passed.refused_by_rate * 60 / seconds)
        self.sessions.add("opened", at, passed.sessions * 60 / seconds)

    def _passed(self, name: str, providers: Sequence[Provider]) -> Tally:
        """What came since this was last asked under the name."""
        total = _sum(providers)
        passed = total.since(self._before.get(name, Tally()))
        self._before[name] = total
        return passed

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


def _sum(providers: Sequence[Provider]) -> Tally:
    tallies = [provider.tally for provider in providers]
    return Tally(
        sum(tally.attempts for tally in tallies),
        sum(tally.delivered for tally in tallies),
        sum(tally.refused_by_rate for tally in tallies),
        sum(tally.refused_by_connections for tally in tallies),
        sum(tally.sessions for tally in tallies),
    )
