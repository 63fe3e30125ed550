"""Shaping rules: how much may go to whom on one path, and what replies ask for. Pure.

Rules are merged: what applies to everybody, then each rule whose MX suffix all exchangers of the site bear, then each
rule that names the domain, in the order of the file. A later rule's key wins; reply rules add up. `Share` divides what
results among the workers that live.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from zlib import crc32

from relay.policy.warm_up import WarmUpRules


@dataclass(frozen=True, slots=True)
class Limits:
    """What one path may do at most; None is no limit. `messages` and `connects` are a minute."""

    connections: int = 20
    messages_per_connection: int = 100
    connects: float | None = None
    messages: float | None = None


class Action(StrEnum):
    """What a reply rule does to its path."""

    SUSPEND = "suspend"
    """Nothing goes for the time."""
    SLOW = "slow"
    """Less goes for the time: the rule's own connections and messages a minute."""
    ALARM = "alarm"
    """A person is told; mail goes on."""


@dataclass(frozen=True, slots=True)
class ReplyRule:
    """After `count` replies that `pattern` is found in, within `within`: the action, for `lasts`."""

    id: str
    pattern: re.Pattern[str]
    action: Action
    count: int = 1
    within: timedelta = timedelta(hours=1)
    lasts: timedelta = timedelta(hours=1)
    connections: int | None = None
    messages: float | None = None
    alarm: bool = False
    """A person is told as well."""


@dataclass(frozen=True, slots=True)
class ShapingRule:
    """One `[[provider]]`: whom it means, the limits it sets (only those named), its reply rules."""

    name: str
    mx: tuple[str, ...]
    domains: frozenset[str]
    limits: Mapping[str, float]
    replies: tuple[ReplyRule, ...] = ()
    warm_up: tuple[int, ...] = ()
    """Ceilings of its own; empty: those of everybody."""

    def means_hosts(self, exchangers: Iterable[str]) -> bool:
        """Whether every exchanger is one of this rule's: equal to a suffix, or below it."""
        hosts = [host.lower().rstrip(".") for host in exchangers]
        return bool(hosts) and all(any(host.endswith(end) or host == end[1:] for end in self.mx) for host in hosts)


@dataclass(frozen=True, slots=True)
class Shaping:
    """What applies to one path: the limits, which rule set each, and the reply rules."""

    limits: Limits = field(default_factory=Limits)
    origin: Mapping[str, str] = field(default_factory=dict)
    """The rule that set a limit; absent where none did."""
    replies: tuple[ReplyRule, ...] = ()
    provider: str = ""
    """The first rule's name, whose counters of warm-up are shared by all its sites; "" where no rule applies."""
    warm_up: WarmUpRules = field(default_factory=WarmUpRules)


UNNAMED = Shaping()
"""What applies to a site that no rule names."""


@dataclass(frozen=True, slots=True)
class ShapingBook:
    """The rules in their order."""

    rules: tuple[ShapingRule, ...] = ()
    everybody: Limits = field(default_factory=Limits)
    """What a site gets that no rule names."""
    warm_up: WarmUpRules = field(default_factory=WarmUpRules)
    """The schedule of young sources, and what makes a day bad."""

    @property
    def domains(self) -> frozenset[str]:
        """The recipient domains that rules name."""
        return frozenset().union(*(rule.domains for rule in self.rules))

    def shaping(self, exchangers: Iterable[str], *domains: str) -> Shaping:
        """What applies to a site with these exchangers that takes mail for these domains."""
        hosts = tuple(exchangers)
        meant = [rule for rule in self.rules if rule.means_hosts(hosts)]
        meant += [rule for rule in self.rules if not rule.domains.isdisjoint(domains) and rule not in meant]
        limits: dict[str, float] = {}
        origin: dict[str, str] = {}
        for rule in meant:
            limits.update(rule.limits)
            origin.update(dict.fromkeys(rule.limits, rule.name))
        replies = tuple(reply for rule in meant for reply in rule.replies)
        warm_up = self.warm_up
        for rule in meant:
            warm_up = replace(warm_up, ceilings=rule.warm_up) if rule.warm_up else warm_up
        return Shaping(
            replace(self.everybody, **limits),  # type: ignore[arg-type]
            origin,
            replies,
            meant[0].name if meant else "",
            warm_up,
        )


@dataclass(frozen=True, slots=True)
class Share:
    """Which worker of how many that live this is, from 0.

    Workers see at different moments that one came or went. Whoever has less by what it sees now keeps to that at once;
    whoever has more takes it a round later, when the others have seen it too: until then `before` is what it had.
    """

    position: int = 0
    of: int = 1
    before: Share | None = None

    def then(self, position: int, of: int) -> Share:
        """The share after another look, a round later."""
        if (position, of) == (self.position, self.of):
            return Share(position, of)
        return Share(position, of, before=Share(self.position, self.of))

    def of_connections(self, limit: int, path: str) -> int:
        """This worker's part of a path's connections; the parts of all add up to the limit, so some have none."""
        base, rest = divmod(limit, self.of)
        part = base + ((self.position + crc32(path.encode())) % self.of < rest)
        return part if self.before is None else min(part, self.before.of_connections(limit, path))

    def limits(self, limits: Limits, path: str) -> Limits:
        """This worker's part of a path's limits: what is counted a minute is divided as the connections are."""
        connections = self.of_connections(limits.connections, path)
        if connections == limits.connections:
            return limits
        part = connections / limits.connections
        return Limits(
            connections,
            limits.messages_per_connection,
            None if limits.connects is None else limits.connects * part,
            None if limits.messages is None else limits.messages * part,
        )
