"""The ways out: from a plan and a message's pool to the sources it may leave from, in its own order.

Stands between the planner and the lines. Sources that rest come last, sources that none of the hosts' addresses can be
reached from fall out, and IPv6 leaves only from sources that are fit for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from relay import metrics
from relay.log import Log
from relay.policy.health import SourceHealth
from relay.policy.outcome import Outcome, Scope
from relay.policy.pool import Pools
from relay.policy.route import Plan
from relay.policy.unroutable import no_reachable_address
from relay.policy.way import Source, Way, way_from
from relay.spool.work import Parcel

_log = Log("egress")

BOTH: Final = frozenset({4, 6})
ONLY_IPV4: Final = frozenset({4})


class Ways:
    """The sources of one worker, and what is known of them."""

    def __init__(self, pools: Pools) -> None:
        self.pools = pools
        self.unfit_for_ipv6: frozenset[str] = frozenset()
        """Sources whose IPv6 is not used for now."""
        self._health = SourceHealth()

    def keep_from_ipv6(self, sources: frozenset[str]) -> None:
        """From now on, no IPv6 from these sources."""
        self.unfit_for_ipv6 = sources

    def ways(self, parcel: Parcel, plan: Plan, now: datetime) -> tuple[Way, ...] | Outcome:
        """The ways of `plan` for the parcel, best first; an outcome if no source can reach any address of it."""
        domain = parcel.duties[0].recipient.address.domain
        pool = self.pools.pool(domain, parcel.stream, parcel.tenant)
        sources, stays = pool.ranked(parcel.id), parcel.duties[0].source
        if stays and len(sources) > 1:
            sources = tuple(sorted(sources, key=lambda source: source.name != stays))
        found = [way for source in sources for way in self._ways_from(source, plan)]
        if len(found) > 1:
            found.sort(key=lambda way: self._health.resting(way.source.name, now))
        return tuple(found) or no_reachable_address()

    def _ways_from(self, source: Source, plan: Plan) -> Iterator[Way]:
        """The way from a source; two where IPv4 and IPv6 warm up apart, in the order of the plan."""
        versions = ONLY_IPV4 if source.name in self.unfit_for_ipv6 else BOTH
        apart = [versions]
        if source.warms_since is not None and len(versions) > 1:
            first = 6 if any(":" in one.address for one in plan.candidates[:1]) else 4
            apart = [frozenset({first}), versions - {first}]
        for one in apart:
            if (way := way_from(source, plan, one)) is not None:
                yield way

    def learn(self, way: Way, outcome: Outcome, now: datetime, *, reached: bool) -> bool:
        """What an attempt from the way's source showed of the source itself; whether that goes to rest now."""
        source = way.source.name
        if reached:
            self._health.reached(source)
            return False
        if outcome.scope is Scope.SOURCE:
            span = self._health.failed(source, now)
        else:
            span = self._health.unreachable(source, way.plan.site, now)
        if span is not None:
            metrics.source_rests.labels(source).inc()
            _log.warning("source-rests", source=source, seconds=int(span.total_seconds()), reply=outcome.reply)
        return span is not None
