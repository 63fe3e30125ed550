"""How politely and how fully providers are used whose limits the relay does not know.

The queue holds ten minutes of mail for every provider at any time. After a time to learn, the steady state is
measured: refusals by rate as a share of the attempts, and deliveries as a share of what the provider allows, which
is the smaller of its rate and of what its connections can carry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.simulation.backlog import Backlog
from tests.simulation.chart import Panel
from tests.simulation.loop import VirtualLoop
from tests.simulation.provider import Habits, Provider, ProviderRules, Tally
from tests.simulation.world import World, settings_of, spool_folder, watched_log

FEED_SECONDS: Final = 10.0
FEED_MINUTES: Final = 10
COMMIT_SECONDS: Final = 0.1
"""What a commit takes at most here: a slow disk, whose larger commits let a minute be simulated in a second."""
SAMPLE_SECONDS: Final = 60.0

STEADY_MINUTES: Final = 80.0
LEAST_LEARNING_MINUTES: Final = 40.0
LEARNING_ROUNDS: Final = 6
"""Windows with their penalties that may pass before a provider counts: each is one question and its answer."""


def learning_minutes(providers: Sequence[ProviderRules]) -> float:
    """How long one must learn before the steady state of all of these begins."""
    longest = max(rules.window + rules.penalty for rules in providers)
    return max(LEAST_LEARNING_MINUTES, LEARNING_ROUNDS * longest / 60)


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """What is measured: `minutes` of simulated time, of which the first `learning` do not count."""

    seed: int
    providers: tuple[ProviderRules, ...]
    minutes: float = 120.0
    learning: float = 40.0
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured: the values that are printed, and the panels of a chart."""

    shown: dict[str, Any]
    panels: tuple[Panel, ...]

    @property
    def ok(self) -> bool:
        """Whether every invariant held and nothing is lost."""
        return self.shown["invariants"] == "held" and not self.shown["lost"]


def measure(options: MeasureOptions) -> Measurement:
    """Run a measurement."""
    loop = VirtualLoop()
    with spool_folder() as folder:
        settings = settings_of(folder, options.workers)
        world = World(loop, folder, options.seed, settings, options.workers, checks=False)
        try:
            with watched_log(world.ledger):
                return loop.run_until_complete(_Course(world, options).run())
        finally:
            world.spoolcheck.close()
            loop.close()


class _Course:
    """One measurement under way."""

    def __init__(self, world: World, options: MeasureOptions) -> None:
        self._world = world
        self._options = options
        self._backlog = Backlog(world)
        self._panels = (
            Panel("delivered a minute, share of what is allowed"),
            Panel("refused by rate a minute"),
            Panel("sessions"),
        )
        random = world.random("habits")
        self._providers: list[Provider] = []
        for rules in options.providers:
            provider = Provider(rules.domain, Habits(random.uniform(0.01, 0.08), random.uniform(0.02, 0.3)), rules)
            self._providers.append(provider)
            world.add_provider(rules.domain, provider)

    async def run(self) -> Measurement:
        world, options = self._world, self._options
        world.disk.trouble.seconds = COMMIT_SECONDS
        for node in world.nodes:
            node.start()
        await asyncio.sleep(1.0)
        feeder = asyncio.create_task(self._feed())
        sampler = asyncio.create_task(self._sample())
        await asyncio.sleep(options.learning * 60)
        learnt = [provider.tally.copy() for provider in self._providers]
        await asyncio.sleep((options.minutes - options.learning) * 60)
        whole = [provider.tally.copy() for provider in self._providers]
        for task in (feeder, sampler):
            task.cancel()
        await asyncio.gather(feeder, sampler, return_exceptions=True)
        await world.stop()
        world.spoolcheck.committed()
        world.spoolcheck.whole()
        steady = [late.since(early) for late, early in zip(whole, learnt, strict=True)]
        return Measurement(self._shown(whole, steady), self._panels)

    async def _feed(self) -> None:
        """Keep ten minutes' worth of mail in the queue for each provider, and fifty letters at least."""
        while True:
            queued = self._world.spoolcheck.queued_by_domain()
            wanted = [
                provider.name
                for provider in self._providers
                for _ in range(50 + FEED_MINUTES * round(allowed_per_minute(provider)) - queued.get(provider.name, 0))
            ]
            await self._backlog.add(wanted)
            self._world.spoolcheck.committed()
            await asyncio.sleep(FEED_SECONDS)

    async def _sample(self) -> None:
        share, refused, sessions = self._panels
        before = [provider.tally.copy() for provider in self._providers]
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            at = self._world.loop.time()
            now = [provider.tally.copy() for provider in self._providers]
            for provider, late, early in zip(self._providers, now, before, strict=True):
                minute = late.since(early)
                share.add(provider.name, at, minute.delivered / allowed_per_minute(provider))
                refused.add(provider.name, at, minute.refused_by_rate)
                sessions.add(provider.name, at, provider.open_sessions)
            before = now

    def _shown(self, whole: Sequence[Tally], steady: Sequence[Tally]) -> dict[str, Any]:
        minutes = self._options.minutes - self._options.learning
        providers = [
            _provider_shown(provider, total, late, minutes)
            for provider, total, late in zip(self._providers, whole, steady, strict=True)
        ]
        attempts = sum(tally.attempts for tally in steady)
        refused = sum(tally.refused_by_rate for tally in steady)
        shares = [provider["share_used"] for provider in providers]
        ledger = self._world.ledger
        return {
            "seed": self._options.seed,
            "minutes": self._options.minutes,
            "steady_from_minute": self._options.learning,
            "attempts": attempts,
            "refused_by_rate": refused,
            "refused_by_rate_share": _share(refused, attempts),
            "refused_by_connections": sum(tally.refused_by_connections for tally in steady),
            "share_used_least": min(shares),
            "share_used_mean": round(sum(shares) / len(shares), 4),
            "lost": len(self._world.spoolcheck.lost()),
            "duplicates": dict(ledger.duplicates),
            "invariants": list(ledger.broken) or "held",
            "providers": providers,
        }


def allowed_per_minute(provider: Provider) -> float:
    """Messages a minute it allows: its rate, or what its connections can carry if that is less."""
    rules, habits = provider.rules, provider.habits
    if rules is None:
        raise ValueError(f"{provider.name} has no rules")
    return min(rules.allowance * 60 / rules.window, rules.connections * 60 / (4 * habits.way + habits.work))


def _provider_shown(provider: Provider, whole: Tally, steady: Tally, minutes: float) -> dict[str, Any]:
    rules = provider.rules
    assert rules is not None
    allowed = allowed_per_minute(provider)
    return {
        "domain": rules.domain,
        "connections": rules.connections,
        "per_minute": rules.per_minute,
        "window": rules.window,
        "penalty": rules.penalty,
        "code": rules.code,
        "allowed_per_minute": round(allowed, 2),
        "attempts": steady.attempts,
        "delivered": steady.delivered,
        "refused_by_rate": steady.refused_by_rate,
        "refused_by_rate_share": _share(steady.refused_by_rate, steady.attempts),
        "refused_by_connections": steady.refused_by_connections,
        "share_used": round(steady.delivered / (allowed * minutes), 4),
        "most_sessions": steady.most_sessions,
        "while_learning": {
            "attempts": whole.attempts - steady.attempts,
            "refused_by_rate": whole.refused_by_rate - steady.refused_by_rate,
            "refused_by_connections": whole.refused_by_connections - steady.refused_by_connections,
        },
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 5) if whole else 0.0
