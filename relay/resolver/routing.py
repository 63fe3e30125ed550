"""The router: asks the DNS what a plan needs and lets `relay.policy.route` decide.

Stands between the scheduler, which knows a next-hop domain, and the dialer, which needs addresses. Guarantees
that a domain's own address is asked only when it has no MX at all (B02, B03), that the work one domain can
cause is bounded (S33), and that what cannot be routed is an outcome, never an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import assert_never

from relay.ids import Entropy
from relay.policy import route
from relay.policy.addresses import parse_ip
from relay.policy.outcome import Outcome
from relay.policy.route import Candidate, Exchanger, Plan, ResolvedHost, RouteRules
from relay.resolver.contract import DnsAnswer, DnsFailure, Resolver

DEFAULT_FAMILIES = frozenset({4, 6})


class Router:
    """Makes plans. `smarthost` (host, port) replaces every route; the operator named it, so no guard applies."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        port: int,
        allow_private: bool,
        own_names: frozenset[str],
        own_addresses: frozenset[str],
        smarthost: tuple[str, int] | None,
        entropy: Entropy,
        families: frozenset[int] = DEFAULT_FAMILIES,
    ) -> None:
        self._resolver = resolver
        self._smarthost = smarthost
        self._uniform = entropy.uniform
        self._rules = RouteRules(port, allow_private, own_names, own_addresses, families)

    async def plan(self, domain: str) -> Plan | Outcome:
        """Where mail for `domain` (a lower-case A-label name or `[literal]`) goes, or why it goes nowhere."""
        if self._smarthost is not None:
            return await self._through(*self._smarthost)
        if domain.startswith("["):
            candidate = route.literal_candidate(domain, self._rules)
            return candidate if isinstance(candidate, Outcome) else Plan(domain, (candidate,))
        answer = await self._resolver.ask(domain, "MX")
        match answer.failure:
            case None:
                exchangers = route.parse_mx(answer.records)
                if route.is_null_mx(exchangers):
                    return route.null_mx()
            case DnsFailure.NODATA:
                exchangers = (Exchanger(0, domain),)  # the implicit MX (RFC 5321 §5.1, B02)
            case DnsFailure.NXDOMAIN:
                return route.no_such_domain()
            case DnsFailure.SERVFAIL | DnsFailure.TIMEOUT:
                return route.dns_unavailable()
            case _:
                assert_never(answer.failure)
        return await self._among(domain, route.order(exchangers, self._uniform)[: route.MAX_HOSTS])

    async def _among(self, domain: str, exchangers: Sequence[Exchanger]) -> Plan | Outcome:
        hosts = await asyncio.gather(*(self._resolve(exchanger, self._rules) for exchanger in exchangers))
        chosen = route.choose(hosts, self._rules, self._uniform)
        return chosen if isinstance(chosen, Outcome) else Plan(route.site_name(domain, exchangers), chosen)

    async def _through(self, host: str, port: int) -> Plan | Outcome:
        if parse_ip(host) is not None:
            return Plan(host, (Candidate(host, host, port),))
        rules = RouteRules(port, allow_private=True, families=self._rules.families)
        resolved = await self._resolve(Exchanger(0, host), rules)
        chosen = route.choose((resolved,), rules, self._uniform)
        return chosen if isinstance(chosen, Outcome) else Plan(host, chosen)

    async def _resolve(self, exchanger: Exchanger, rules: RouteRules) -> ResolvedHost:
        """A and AAAA at once; AAAA of a machine without IPv6 only to tell "no address" from "none for us"."""
        name = exchanger.name
        if 6 in rules.families:
            ipv4, ipv6 = await asyncio.gather(self._resolver.ask(name, "A"), self._resolver.ask(name, "AAAA"))
        else:
            ipv4 = await self._resolver.ask(name, "A")
            ipv6 = DnsAnswer(()) if ipv4.records else await self._resolver.ask(name, "AAAA")
        uncertain = any(answer.failure in {DnsFailure.SERVFAIL, DnsFailure.TIMEOUT} for answer in (ipv4, ipv6))
        return ResolvedHost(exchanger, ipv4.records, ipv6.records, uncertain)
