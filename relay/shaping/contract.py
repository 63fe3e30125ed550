"""The values of warm-ups as they are asked for and shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from relay.policy.warm_up import Mark, Results, WarmUpRules


class WarmUpKey(NamedTuple):
    """Whose warm-up it is. `domain` is the signing domain, "" for unsigned mail; `version` is 4 or 6."""

    domain: str
    source: str
    version: int
    provider: str
    """A name of `providers.toml`, or the site of a provider that has none there."""

    def __str__(self) -> str:
        version = " over IPv6" if self.version == 6 else ""
        return f"{self.domain or 'unsigned mail'} from {self.source} at {self.provider}{version}"


@dataclass(frozen=True, slots=True)
class Question:
    """So many letters want to leave; `promised`: they were told to come now. `begins` is the setting's day."""

    key: WarmUpKey
    letters: int
    promised: bool
    rules: WarmUpRules
    begins: int


@dataclass(frozen=True, slots=True)
class Answer:
    """So many may leave now, counted on `day`; the others are to come back at `departs`."""

    row: int
    day: int
    granted: int
    departs: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unused:
    """Letters that were allowed to leave and did not."""

    row: int
    day: int
    letters: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many letters may still leave today (None: no ceiling), and when one that comes now would; None: at once."""

    remaining: int | None
    departs: datetime | None
    ceiling: int = 0
    """How many may leave on a whole day, where there is a ceiling."""


@dataclass(frozen=True, slots=True)
class WarmUpView:
    """Where a warm-up stands, as people are shown it. `step` counts from 1."""

    row: int
    key: WarmUpKey
    step: int
    ceiling: int | None
    """Letters a day; None: it is warm."""
    day: int
    used: int
    """Of today's."""
    begins: int
    waits_until: datetime | None
    """The latest departure that was promised; None when nobody waits."""
    mark: Mark | None
    """What the last day with mail was; None before there was one."""
    why: str
    today: Results

    def __str__(self) -> str:
        if self.ceiling is None:
            return f"{self.key} is warm"
        return f"{self.key} may send {self.ceiling} letters a day (step {self.step}), {self.used} are used today"
