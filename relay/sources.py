"""The egress sources and pools, built from the settings.

Stands between the settings and the engine. What the settings call by name (sources, tenants) is resolved here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from relay.egress.sources import families_of, system_addresses
from relay.policy.pool import Member, Pool, Pools
from relay.policy.way import Source
from relay.settings import EgressPool, Settings

DEFAULT_POOL = "default"


def egress_sources(settings: Settings) -> tuple[Source, ...]:
    """The configured sources, or one: the system's choice of address under the node's name."""
    name = settings.node.name
    configured = settings.egress.source
    if not configured:
        return (Source("default", "", name),)
    return tuple(Source(one.name, one.address or "", one.ehlo or name, _begins(one.warm_up)) for one in configured)


def _begins(day: str) -> int | None:
    """The day on which a warm-up begins, counted from the epoch."""
    return (date.fromisoformat(day) - date(1970, 1, 1)).days if day else None


def make_pools(settings: Settings, tenants: Mapping[str, int]) -> Pools:
    """The pools, and who uses which; `tenants` are the spool's numbers of those that the settings name."""
    sources = {source.name: source for source in egress_sources(settings)}
    pools = {entry.name: _pool(entry, sources) for entry in settings.egress.pool}
    default = pools.setdefault(DEFAULT_POOL, Pool(DEFAULT_POOL, tuple(map(Member, sources.values()))))
    return Pools(
        default=default,
        by_domain={route.domain: pools[route.pool] for route in settings.delivery.route if route.pool},
        by_stream={stream: pools[entry.name] for entry in settings.egress.pool for stream in entry.streams},
        by_tenant={
            tenants[tenant]: pools[entry.name]
            for entry in settings.egress.pool
            for tenant in entry.tenants
            if tenant in tenants
        },
    )


def _pool(entry: EgressPool, sources: Mapping[str, Source]) -> Pool:
    return Pool(entry.name, tuple(Member(sources[name], entry.weights.get(name, 1.0)) for name in entry.sources))


def own_names(settings: Settings) -> frozenset[str]:
    """The names by which the world knows us: an MX record with one of them leads back to us (B06)."""
    return frozenset({settings.node.name, *(source.ehlo for source in egress_sources(settings))})


def own_addresses(settings: Settings) -> frozenset[str]:
    """The addresses of all sources, and those the system would choose for a source without one (B06)."""
    sources = egress_sources(settings)
    named = {source.address for source in sources if source.address}
    return frozenset(named | (system_addresses() if len(named) < len(sources) else set()))


def families(settings: Settings) -> frozenset[int]:
    """The IP versions that any source can send over; which of them may use IPv6 now is decided for each message."""
    never = {one.name for one in settings.egress.source if one.ipv6 == "never"}
    found: set[int] = set()
    for source in egress_sources(settings):
        found |= families_of([source]) - ({6} if source.name in never else set())
    return frozenset(found)
