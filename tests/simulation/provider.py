"""A simulated provider: the limits it holds senders to, and what it counts.

- `connections`: sessions it has open at once with one sender; one more is refused in place of its banner.
- `per_minute` over `window` seconds: in any `window` it takes `per_minute × window / 60` messages. One more is a
  breach: that message and every one of the next `penalty` seconds is refused after MAIL with `code text`.
  A 421 also ends the session (RFC 5321 §3.8). Refusals count against no limit and do not lengthen the penalty.

The sender under test is told none of this.
"""

from __future__ import annotations

import tomllib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from relay.smtp.reply import Reply, remote_reply
from relay.units import parse_duration

_KEYS: Final = ("domain", "connections", "per_minute", "window", "penalty", "code", "text")

_TEXTS: Final = (
    (421, "4.7.28 Our system has detected an unusual rate of mail; come back later"),
    (421, "4.7.0 [TSS04] Messages temporarily deferred due to unexpected volume"),
    (451, "4.7.500 Server busy, please try again later"),
    (450, "4.2.1 The user you are trying to contact is receiving mail too quickly"),
    (452, "4.5.3 too many messages from your host, slow down"),
    (421, "too many connections, try again later"),
    (450, "4.7.1 rate limit exceeded"),
)


class ProviderFileError(ValueError):
    """A file of providers cannot be used; the text says which key of which section."""


@dataclass(frozen=True, slots=True)
class ProviderRules:
    """One `[[provider]]`: `window` and `penalty` in seconds."""

    domain: str
    connections: int
    per_minute: float
    window: float
    penalty: float
    code: int
    text: str

    @property
    def allowance(self) -> int:
        """Messages it takes in any one window: one at least."""
        return max(1, int(self.per_minute * self.window / 60))


def read_providers(path: Path) -> tuple[ProviderRules, ...]:
    """The `[[provider]]` sections of a TOML file; durations are seconds, or texts as in the settings ("5m")."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ProviderFileError(f"{path}: {error}") from None
    sections = data.get("provider")
    if not isinstance(sections, list) or not sections or set(data) != {"provider"}:
        raise ProviderFileError(f"{path}: write [[provider]] sections and nothing else")
    rules = tuple(_rules(path, number, section) for number, section in enumerate(sections, 1))
    if len({one.domain for one in rules}) < len(rules):
        raise ProviderFileError(f"{path}: a domain stands twice")
    return rules


def _rules(path: Path, number: int, section: Mapping[str, Any]) -> ProviderRules:
    if sorted(section) != sorted(_KEYS):
        raise ProviderFileError(f"{path}: provider {number}: write exactly the keys {', '.join(_KEYS)}")
    try:
        rules = ProviderRules(
            domain=str(section["domain"]).lower(),
            connections=int(section["connections"]),
            per_minute=float(section["per_minute"]),
            window=_seconds(section["window"]),
            penalty=_seconds(section["penalty"]),
            code=int(section["code"]),
            text=str(section["text"]),
        )
    except (TypeError, ValueError) as error:
        raise ProviderFileError(f"{path}: provider {number}: {error}") from None
    if rules.connections < 1 or rules.per_minute <= 0 or rules.window <= 0 or not 400 <= rules.code <= 599:
        raise ProviderFileError(f"{path}: provider {number}: limits are above 0, and the code is a 4xx or 5xx")
    return rules


def _seconds(value: object) -> float:
    return parse_duration(value).total_seconds() if isinstance(value, str) else float(str(value))


def random_providers(random: Random, count: int) -> tuple[ProviderRules, ...]:
    """Providers as they might be: from six to six hundred messages a minute, one to twenty connections."""
    providers: list[ProviderRules] = []
    for number in range(count):
        code, text = random.choice(_TEXTS)
        providers.append(
            ProviderRules(
                domain=f"p{number + 1:02}.example",
                connections=random.choice((1, 2, 2, 3, 5, 5, 10, 10, 20)),
                per_minute=round(6 * 100 ** random.random()),
                window=random.choice((10, 30, 60, 60, 60, 300, 600)),
                penalty=random.choice((0, 10, 30, 60, 60, 300, 900)),
                code=code,
                text=text,
            )
        )
    return tuple(providers)


@dataclass(slots=True)
class Tally:
    """What a provider saw. `attempts` are messages begun (MAIL) and connections refused."""

    attempts: int = 0
    delivered: int = 0
    refused_by_rate: int = 0
    refused_by_connections: int = 0
    sessions: int = 0
    most_sessions: int = 0

    def since(self, earlier: Tally) -> Tally:
        """What came after `earlier`; the most sessions are those of the whole time."""
        return Tally(
            self.attempts - earlier.attempts,
            self.delivered - earlier.delivered,
            self.refused_by_rate - earlier.refused_by_rate,
            self.refused_by_connections - earlier.refused_by_connections,
            self.sessions - earlier.sessions,
            self.most_sessions,
        )

    def copy(self) -> Tally:
        """The figures as they are now."""
        return self.since(Tally())


@dataclass(slots=True)
class Habits:
    """How a provider's hosts are: seconds on the way and at work, and the chances of misbehaviour."""

    way: float = 0.02
    """Seconds from us to it."""
    work: float = 0.1
    """Seconds it takes for a message's content."""
    down: str = ""
    """Why nobody can connect: "silent" (SYN dropped), "refused", "dark" (connects, says nothing); "" is up."""
    ends: float = 0.0
    """Chance that it ends a session with 421 before a message."""
    resets: float = 0.0
    """Chance that a connection is reset before the content is sent."""
    drops: float = 0.0
    """Chance that it takes a message and the connection is lost before its answer."""
    sulks: float = 0.0
    """Chance that it never answers the dot of a message it took."""
    defers: float = 0.0
    """Chance that it says 451 after the dot."""
    greylists: float = 0.0
    """Seconds in which a recipient is told to come back; 0 is never."""
    idle: float = 60.0
    """Seconds after which it closes a session that says nothing."""


@dataclass(eq=False)
class Provider:
    """One provider: its rules (None: no limits), its habits, its counts."""

    name: str
    habits: Habits
    rules: ProviderRules | None = None
    tally: Tally = field(default_factory=Tally)
    seen: dict[str, float] = field(default_factory=dict)
    """When a recipient was first named (greylisting)."""
    _open: int = 0
    _taken: deque[float] = field(default_factory=deque)
    _sulking_until: float = float("-inf")

    @property
    def open_sessions(self) -> int:
        """Sessions open now."""
        return self._open

    def connects(self) -> Reply | None:
        """A connection comes: None and it counts, or the refusal in place of a banner."""
        rules = self.rules
        if rules is not None and self._open >= rules.connections:
            self.tally.attempts += 1
            self.tally.refused_by_connections += 1
            return remote_reply(rules.code, (rules.text,))
        self._open += 1
        self.tally.sessions += 1
        self.tally.most_sessions = max(self.tally.most_sessions, self._open)
        return None

    def hangs_up(self) -> None:
        """A session that counted is over."""
        self._open -= 1

    def begins(self, now: float) -> Reply | None:
        """MAIL comes: None and it counts against the rate, or the refusal."""
        self.tally.attempts += 1
        rules = self.rules
        if rules is None:
            return None
        taken = self._taken
        while taken and taken[0] <= now - rules.window:
            taken.popleft()
        if now >= self._sulking_until:
            if len(taken) < rules.allowance:
                taken.append(now)
                return None
            self._sulking_until = now + rules.penalty
        self.tally.refused_by_rate += 1
        return remote_reply(rules.code, (rules.text,))
