"""Routes: from DNS answers to an ordered list of candidates (RFC 5321 §5.1, RFC 7505). Pure.

The resolver fetches; this module decides: order of preference with equals shuffled, implicit MX, null MX,
loops and unusable exchangers. What cannot be routed is already an outcome.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from relay.policy import unroutable
from relay.policy.addresses import is_public
from relay.policy.outcome import Outcome
from relay.policy.tls import OPPORTUNISTIC, Fault, HostDemand

MAX_HOSTS: Final = 10
"""Exchangers of one domain that are looked at (S33)."""
MAX_HOST_ADDRESSES: Final = 5
"""Addresses of one exchanger that are tried (B05)."""
MAX_ADDRESSES: Final = 20
"""Addresses of a plan (S33)."""
_MAX_SITE_NAME: Final = 64

_LABEL = r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

Uniform = Callable[[], float]
"""Gives floats in [0, 1): the randomness of the caller."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are to a next hop that wants AUTH; the password is in no repr."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One (exchanger, address) to try from one source. `exchanger` is an A-label name or the literal's text.

    A session serves exactly the candidate it was opened for, TLS demand and login included.
    """

    exchanger: str
    address: str
    port: int
    tls: HostDemand = OPPORTUNISTIC
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a domain's mail goes: the site (domains with the same exchangers share one name) and the candidates."""

    site: str
    candidates: tuple[Candidate, ...]
    relaxed: tuple[Candidate, ...] = ()
    """The candidates of a message that waives its domain's TLS policies (RFC 8689 §4.2.2); empty without policies."""
    refusal: Outcome | None = None
    """Why there are no candidates, where only `relaxed` has any."""
    notes: tuple[str, ...] = ()
    """Hosts that were left out and why, as lines for the transcript."""
    for_all: bool = False
    """A smarthost's: it takes mail for every domain, so that rules by recipient domain do not mean it."""


@dataclass(frozen=True, slots=True)
class Exchanger:
    """One MX record: lower is preferred; `name` is in lower case without its last dot, "." for null MX."""

    preference: int
    name: str

    @property
    def usable(self) -> bool:
        """Whether the name is a host's name at all: an IP address as text or nonsense is not (B08)."""
        return bool(_HOST_NAME.fullmatch(self.name)) and not self.name.rpartition(".")[2].isdecimal()


@dataclass(frozen=True, slots=True)
class ResolvedHost:
    """An exchanger with what the DNS says of its addresses; `uncertain` when a look-up failed for now."""

    exchanger: Exchanger
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    uncertain: bool = False
    demand: HostDemand = OPPORTUNISTIC
    refusal: Fault | None = None
    """Why its domain's policy does not let us use this host now."""


@dataclass(frozen=True, slots=True)
class RouteRules:
    """What the operator says of routes.

    `own_names` and `own_addresses` are the node's own: its name, EHLO names and source addresses, never all of
    127.0.0.0/8. `families` are the IP versions this machine can send over; `late` says of an address that it did
    not answer lately, so that it comes after a host's others (B07). `literals`: address literals are routed (B09).
    `waivers`: a message may waive its domain's TLS policies (RFC 8689, K02).
    """

    port: int = 25
    allow_private: bool = False
    own_names: frozenset[str] = frozenset()
    own_addresses: frozenset[str] = frozenset()
    families: frozenset[int] = frozenset({4, 6})
    late: Callable[[str], bool] = lambda _: False
    literals: bool = True
    waivers: bool = True
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidates, and what else a `Plan` says beside its site."""

    candidates: tuple[Candidate, ...]
    relaxed: tuple[Candidate, ...] = ()
    refusal: Outcome | None = None
    notes: tuple[str, ...] = ()

    def plan(self, site: str, *, waivers: bool) -> Plan | Outcome:
        """The plan of `site`; `waivers` as in `RouteRules`."""
        if self.refusal is not None and not waivers:
            return self.refusal
        return Plan(site, self.candidates, self.relaxed if waivers else (), self.refusal, self.notes)


def parse_mx(records: Iterable[str]) -> tuple[Exchanger, ...]:
    """The exchangers in MX records "PREFERENCE NAME", in the order given; what is no such record is left out."""
    exchangers: list[Exchanger] = []
    for record in records:
        preference, _, name = record.partition(" ")
        if preference.isdecimal() and name:
            bare = name if name == "." else name.removesuffix(".")
            exchangers.append(Exchanger(int(preference), bare.lower()))
    return tuple(exchangers)


def is_null_mx(exchangers: Sequence[Exchanger]) -> bool:
    """Whether the domain says that it takes no mail: one MX whose target is "." (RFC 7505 §3, B10)."""
    return len(exchangers) == 1 and exchangers[0].name == "."


def order(exchangers: Iterable[Exchanger], uniform: Uniform) -> tuple[Exchanger, ...]:
    """Usable exchangers by ascending preference, equals in random order, each name once (RFC 5321 §5.1, B01)."""
    ranked = sorted((e for e in exchangers if e.usable), key=lambda e: (e.preference, uniform()))
    first_of_name: dict[str, Exchanger] = {}
    for exchanger in ranked:
        first_of_name.setdefault(exchanger.name, exchanger)
    return tuple(first_of_name.values())


def before_own(hosts: Sequence[ResolvedHost], rules: RouteRules) -> tuple[ResolvedHost, ...]:
    """The hosts preferred to ourselves: our own and all of equal or worse preference are dropped (B06)."""
    limit = min((h.exchanger.preference for h in hosts if _is_own(h, rules)), default=None)
    return tuple(h for h in hosts if limit is None or h.exchanger.preference < limit)


def _is_own(host: ResolvedHost, rules: RouteRules) -> bool:
    if host.exchanger.name in rules.own_names:
        return True
    return not rules.own_addresses.isdisjoint(host.ipv4) or not rules.own_addresses.isdisjoint(host.ipv6)


def choose(hosts: Sequence[ResolvedHost], rules: RouteRules, uniform: Uniform) -> Choice | Outcome:
    """The candidates among `hosts` (in order of preference), or the outcome when none can be tried.

    An exchanger that exists without addresses, or does not exist, is skipped; the domain's own address never
    stands in for it (B03). One that the domain's policy refuses is skipped too, and never bounces (H02, I06).
    """
    allowed = before_own(hosts, rules)
    if hosts and not allowed:
        return unroutable.loop()
    reachable = [(host, addresses) for host in allowed if (addresses := _addresses(host, rules, uniform))]
    good = [pair for pair in reachable if pair[0].refusal is None]
    refused = [host for host in allowed if host.refusal is not None]
    if reachable:
        return Choice(
            _candidates(good, rules),
            _candidates(reachable, rules, relaxed=True) if _has_policy(allowed) else (),
            None if good else _refusal(refused),
            tuple(f"{h.exchanger.name}: left out: {h.refusal.words}" for h in refused if h.refusal is not None),
        )
    if any(host.uncertain for host in allowed):
        return unroutable.dns_unavailable()
    if any(host.ipv4 or host.ipv6 for host in allowed):
        return unroutable.no_reachable_address()
    return unroutable.no_host()


def _refusal(refused: Sequence[ResolvedHost]) -> Outcome | None:
    first = refused[0]
    return unroutable.refused_by_policy(first.exchanger.name, first.demand, first.refusal) if first.refusal else None


def _addresses(host: ResolvedHost, rules: RouteRules, uniform: Uniform) -> list[str]:
    mixed = _mixed(_passing(host.ipv6, 6, rules), _passing(host.ipv4, 4, rules), uniform)
    return sorted(mixed, key=rules.late)[:MAX_HOST_ADDRESSES]


def _has_policy(hosts: Sequence[ResolvedHost]) -> bool:
    return any(host.refusal is not None or host.demand.relaxed() != host.demand for host in hosts)


def _candidates(
    pairs: Sequence[tuple[ResolvedHost, list[str]]], rules: RouteRules, *, relaxed: bool = False
) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            host.exchanger.name,
            address,
            rules.port,
            host.demand.relaxed() if relaxed else host.demand,
            rules.login,
        )
        for host, addresses in pairs
        for address in addresses
    )[:MAX_ADDRESSES]


def _passing(addresses: tuple[str, ...], family: int, rules: RouteRules) -> list[str]:
    if family not in rules.families:
        return []
    return [a for a in addresses if rules.allow_private or is_public(a)]


def _mixed(first: list[str], second: list[str], uniform: Uniform) -> list[str]:
    """Both families in random order each, in turn: so a broken family never fills the cap (B07)."""
    columns = (sorted(first, key=lambda _: uniform()), sorted(second, key=lambda _: uniform()))
    return [a for pair in zip_longest(*columns) for a in pair if a is not None]


def literal_candidate(domain: str, rules: RouteRules, tls: HostDemand = OPPORTUNISTIC) -> Candidate | Outcome:
    """Where `[192.0.2.1]` or `[IPv6:2001:db8::1]` leads (B09): the address itself, without any look-up."""
    if not rules.literals:
        return unroutable.literal_refused()
    address = domain[1:-1].removeprefix("IPv6:")
    if address in rules.own_addresses:
        return unroutable.loop()
    if not rules.allow_private and not is_public(address):
        return unroutable.literal_not_public()
    return Candidate(domain, address, rules.port, tls)


def site_name(domain: str, exchangers: Sequence[Exchanger]) -> str:
    """The site of a domain: the names of its best exchangers, so that domains with the same ones share it.

    A single exchanger is its own site; a long list is cut after its first name and ends in a digest. Without
    exchangers the domain is the site.
    """
    if not exchangers:
        return domain
    best = min(e.preference for e in exchangers)
    names = sorted({e.name for e in exchangers if e.preference == best})
    joined = "+".join(names)
    if len(joined) <= _MAX_SITE_NAME or len(names) == 1:
        return joined
    digest = hashlib.sha256(joined.encode()).hexdigest()[:8]
    return f"{names[0]}+{len(names) - 1}~{digest}"
