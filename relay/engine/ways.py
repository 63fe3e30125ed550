"""The ways out: from a plan and a message's pool to the sources it may leave from, in its own order.

Stands between the planner and the lines. Sources that rest come last, sources that none of the hosts' addresses can be
reached from fall out, and IPv6 leaves only from sources that are fit for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from relay import metrics
from relay.log import Log
from relay.policy.health import SourceHealth
from relay.policy.outcome import Outcome, Scope
from relay.policy.pool import Pools
from relay.policy.route import Plan, Way, way_from
from relay.policy.unroutable import no_reachable_address
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
        found = [
            way
            for source in pool.ranked(parcel.id)
            if (way := way_from(source, plan, ONLY_IPV4 if source.name in self.unfit_for_ipv6 else BOTH))
        ]
        if len(found) > 1:
            found.sort(key=lambda way: self._health.resting(way.source.name, now))
        return tuple(found) or no_reachable_address()

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
