"""What one seed decides: the size of the world, its people, and when which fault comes.

All of it is drawn before the run and printed when a seed fails: the seed is enough to replay it, the options are
what a person reads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Final

SAFETY_SECONDS: Final = 180.0
"""How long faults last; then everything is healed and must drain."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: when it begins, what it is, whom it meets (worker or provider), for how long, how bad."""

    at: float
    kind: str
    target: int = 0
    seconds: float = 0.0
    degree: float = 0.0


@dataclass(frozen=True, slots=True)
class Options:
    """One simulated world."""

    seed: int
    workers: int
    messages: int
    providers: int
    retry: tuple[str, ...]
    expire_after: str
    window: int
    idempotent: float
    """Share of the submissions that bear an idempotency key."""
    gone: float
    """Share of the recipients that do not exist."""
    faults: tuple[Fault, ...]

    def shown(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


_KINDS: Final = (
    "kill",
    "kill",
    "kill",
    "kill-in-commit",
    "stop",
    "pause",
    "pause",
    "clock",
    "dns",
    "disk",
    "disk",
    "provider",
    "provider",
    "habits",
    "habits",
    "operator",
    "operator",
)

_CLOCK_JUMPS: Final = (-3600.0, *(-300.0, -300.0, -60.0, -1.0, 1.0, 60.0, 300.0, 3600.0, 28_800.0, 3.2e8) * 2)
"""Seconds; the last is ten years (R27)."""


def draw(seed: int) -> Options:
    """The options of a seed."""
    random = Random(f"options/{seed}")
    workers = random.choice((1, 1, 2, 2, 3))
    providers = random.randint(2, 6)
    return Options(
        seed=seed,
        workers=workers,
        messages=random.randint(10, 60),
        providers=providers,
        retry=random.choice((("5s", "20s", "1m"), ("10s",), ("30s", "1m", "5m"))),
        expire_after=random.choice(("5m", "1h", "5d", "5d")),
        window=random.choice((10, 20, 2000)),
        idempotent=random.choice((0.0, 0.5, 1.0)),
        gone=random.choice((0.0, 0.0, 0.1, 0.3)),
        faults=tuple(draw_fault(random, workers, providers) for _ in range(random.randint(0, 14))),
    )


def draw_fault(random: Random, workers: int, providers: int) -> Fault:
    """Any fault at any moment of the safety phase."""
    kind = random.choice(_KINDS)
    at = round(random.uniform(0, SAFETY_SECONDS), 3)
    worker, provider = random.randrange(workers), random.randrange(providers)
    match kind:
        case "kill":
            return Fault(at, kind, worker, random.choice((0.1, 1.0, 5.0, 90.0)))
        case "kill-in-commit":
            return Fault(at, kind, worker, random.uniform(1, 10), random.uniform(0.05, 0.5))
        case "stop":
            return Fault(at, kind, worker, random.choice((0.0, 2.0, 70.0)))
        case "pause":
            return Fault(at, kind, worker, random.choice((0.5, 5.0, 20.0, 50.0, 80.0)))
        case "clock":
            return Fault(at, kind, seconds=random.choice(_CLOCK_JUMPS))
        case "dns":
            return Fault(at, kind, seconds=random.uniform(5, 200), degree=random.choice((0.2, 0.6, 1.0)))
        case "disk":
            return Fault(at, kind, random.randrange(5), random.uniform(1, 25), random.choice((0.1, 0.5, 1.0)))
        case "provider":
            return Fault(at, kind, provider, random.uniform(10, 300), random.randrange(3))
        case "habits":
            return Fault(at, kind, provider, random.uniform(10, 300), random.choice((0.1, 0.3, 0.6)))
        case _:
            return Fault(at, kind, worker, degree=random.random())
