"""Many draws: the rate alone against providers of every kind, in seconds instead of minutes a set.

No spool, no DNS, no dispatcher: sessions that are always busy, a `Rate` that says when the next message may begin,
and a provider that holds to rules drawn from the seed: whether the algorithm is robust. `measure` shows the relay.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import inf
from random import Random
from typing import Any, Final

from relay.policy.rate import Rate
from tests.simulation.measure import STEADY_MINUTES, allowed_per_minute, learning_minutes
from tests.simulation.provider import Habits, Provider, ProviderRules, Tally, random_providers

SESSIONS: Final = 20
MOST_MESSAGES: Final = 1_000_000
"""Draws that would take more are left out."""

LEAST_USED: Final = 0.85
MOST_REFUSED: Final = 0.005


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one draw showed in its steady state."""

    seed: int
    rules: ProviderRules
    steady: Tally
    share_used: float
    rate: Rate

    @property
    def good(self) -> bool:
        """Whether it was polite and fast enough."""
        refused = self.steady.refused_by_rate / max(1, self.steady.attempts)
        return self.share_used >= LEAST_USED and refused <= MOST_REFUSED

    def shown(self) -> dict[str, Any]:
        """As plain values."""
        rules, steady = self.rules, self.steady
        return {
            "seed": self.seed,
            "connections": rules.connections,
            "per_minute": rules.per_minute,
            "window": rules.window,
            "penalty": rules.penalty,
            "attempts": steady.attempts,
            "refused_by_rate": steady.refused_by_rate,
            "share_used": round(self.share_used, 4),
            "learnt": self.rate.shown(),
        }


def many_draws(seeds: Iterable[int], *, wide: bool = False) -> dict[str, Any]:
    """The sums over all draws, and the ten worst of them."""
    draws = [drawn for seed in seeds if (drawn := draw(seed, wide=wide)) is not None]
    attempts = sum(drawn.steady.attempts for drawn in draws)
    refused = sum(drawn.steady.refused_by_rate for drawn in draws)
    worst = sorted(draws, key=lambda drawn: drawn.share_used)[:10]
    return {
        "draws": len(draws),
        "good": sum(drawn.good for drawn in draws),
        "attempts": attempts,
        "refused_by_rate_share": round(refused / max(1, attempts), 5),
        "share_used_mean": round(sum(drawn.share_used for drawn in draws) / max(1, len(draws)), 4),
        "worst": [drawn.shown() for drawn in worst],
    }


def wide_provider(random: Random) -> ProviderRules:
    """A provider from a far wider world: 2 to 6,000 a minute, windows of 1 s to 1 h, penalties up to 1 h."""
    return ProviderRules(
        domain="wide.example",
        connections=random.choice((1, 2, 3, 5, 10, 20, 50)),
        per_minute=round(2 * 3000 ** random.random(), 1),
        window=random.choice((1, 2, 5, 10, 30, 60, 60, 60, 120, 300, 600, 900, 1800, 3600)),
        penalty=random.choice((0, 0, 1, 10, 30, 60, 60, 300, 600, 900, 1800, 3600)),
        code=421,
        text="4.7.0 slow down",
    )


def draw(seed: int, *, wide: bool = False) -> Drawn | None:
    """Run the draw of a seed; None if it would take too many messages."""
    random = Random(f"draw/{seed}")
    rules = wide_provider(random) if wide else random_providers(random, 1)[0]
    habits = Habits(random.uniform(0.01, 0.08), random.uniform(0.02, 0.3))
    provider = Provider(rules.domain, habits, rules)
    allowed = min(allowed_per_minute(provider), SESSIONS * 60 / (4 * habits.way + habits.work))
    learning = learning_minutes([rules])
    steady = max(STEADY_MINUTES, 2 * (rules.window + rules.penalty) / 60)
    if allowed * (learning + steady) > MOST_MESSAGES:
        return None
    course = Course(provider)
    course.run(learning * 60)
    learnt = provider.tally.copy()
    course.run((learning + steady) * 60)
    tally = provider.tally.since(learnt)
    return Drawn(seed, rules, tally, tally.delivered / (allowed * steady), course.rate)


class Course:
    """One provider under a flow that never ends."""

    def __init__(self, provider: Provider) -> None:
        rules = provider.rules
        assert rules is not None
        self.rate = Rate()
        self._provider = provider
        self._free = min(rules.connections, SESSIONS)
        self._now = 0.0
        self._serial = count()
        self._coming: list[tuple[float, int, str, float]] = []
        """(when, serial, "mail", "taken" or "refused", when it began)"""

    def run(self, until: float) -> None:
        """Let it flow until a moment."""
        while True:
            while self._free and self.rate.free_at(self._now) <= self._now:
                self.rate.begins(self._now)
                self._free -= 1
                self._later(self._provider.habits.way, "mail", self._now)
            permit = self.rate.free_at(self._now) if self._free else inf
            coming = self._coming[0][0] if self._coming else inf
            if min(permit, coming) > until:
                return
            self._now = min(permit, coming)
            if coming <= self._now:
                self._happens()

    def _later(self, seconds: float, what: str, begun: float) -> None:
        heappush(self._coming, (self._now + seconds, next(self._serial), what, begun))

    def _happens(self) -> None:
        _, _, what, begun = heappop(self._coming)
        habits = self._provider.habits
        if what == "mail" and self._provider.begins(self._now) is None:
            self._provider.tally.delivered += 1
            self._later(3 * habits.way + habits.work, "taken", begun)
        elif what == "mail":
            self._later(habits.way, "refused", begun)
        else:
            self._free += 1
            tell = self.rate.accepted if what == "taken" else self.rate.refused
            tell(begun, self._now)
