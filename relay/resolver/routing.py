"""The router: asks the DNS what a plan needs and lets `relay.policy.route` decide.

Stands between the scheduler, which knows a next-hop domain, and the dialer, which needs addresses. Guarantees
that a domain's own address is asked only when it has no MX at all (B02, B03), that the work one domain can
cause is bounded (S33), that each candidate carries its TLS demand, and that what cannot be routed is an
outcome, never an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from relay.ids import Entropy
from relay.policy import route, unroutable
from relay.policy.addresses import parse_ip
from relay.policy.outcome import Outcome
from relay.policy.route import Candidate, Exchanger, Login, Plan, ResolvedHost, RouteRules
from relay.policy.tls import OPPORTUNISTIC, TlsDemand, operator_demand
from relay.resolver.contract import DnsAnswer, DnsFailure, Resolver
from relay.resolver.demands import Demands, Destination, FoundHost
from relay.resolver.mta_sts import NO_POLICY, StsAnswer

EVERY_DOMAIN: Final = "*"


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A next hop of the operator's: a host with its `port`, or (port None) a domain whose exchangers are asked.

    `next_hop` "" is the domain's own way: the route says only which pool its mail leaves from.
    """

    next_hop: str
    port: int | None = None
    demand: TlsDemand | None = None
    login: Login | None = None


class Router:
    """Makes plans, by `rules`.

    `routes` are by recipient domain ("*" = all others); the operator named their hosts, so no guard applies to the
    addresses of these.
    """

    def __init__(
        self,
        resolver: Resolver,
        rules: RouteRules,
        entropy: Entropy,
        demands: Demands | None = None,
        routes: Mapping[str, StaticRoute] | None = None,
    ) -> None:
        self._resolver = resolver
        self._rules = rules
        self._uniform = entropy.uniform
        self._demands = demands or Demands(resolver)
        self._routes = routes or {}

    async def plan(self, domain: str) -> Plan | Outcome:
        """Where mail for `domain` (a lower-case A-label name or `[literal]`) goes, or why it goes nowhere."""
        static = self._routes.get(domain) or self._routes.get(EVERY_DOMAIN)
        if static is not None and static.next_hop:
            plan = await self._by_route(static)
            return replace(plan, for_all=domain not in self._routes) if isinstance(plan, Plan) else plan
        if domain.startswith("["):
            word = self._demands.static(domain)
            candidate = route.literal_candidate(domain, self._rules, operator_demand(word) if word else OPPORTUNISTIC)
            return candidate if isinstance(candidate, Outcome) else Plan(domain, (candidate,))
        return await self._by_exchangers(domain, None)

    async def _by_route(self, static: StaticRoute) -> Plan | Outcome:
        if static.port is not None:
            return await self._through(static, static.port)
        return await self._by_exchangers(static.next_hop, static)

    async def _by_exchangers(self, domain: str, static: StaticRoute | None) -> Plan | Outcome:
        answer = await self._resolver.ask(domain, "MX")
        match answer.failure:
            case None:
                exchangers = route.parse_mx(answer.records)
                if route.is_null_mx(exchangers):
                    return unroutable.null_mx()
            case DnsFailure.NODATA:
                exchangers = (Exchanger(0, domain),)  # the implicit MX (RFC 5321 §5.1, B02)
            case DnsFailure.NXDOMAIN:
                return unroutable.no_such_domain()
            case DnsFailure.SERVFAIL | DnsFailure.TIMEOUT:
                return unroutable.dns_unavailable()
            case _:
                assert_never(answer.failure)
        ordered = route.order(exchangers, self._uniform)[: route.MAX_HOSTS]
        if static is None:
            word = self._demands.static(domain)
            where = Destination(domain, self._rules.port, answer.authentic, domain, word)
            return await self._among(ordered, where, self._rules)
        where = Destination(domain, self._rules.port, answer.authentic, static=static.demand)
        return await self._among(ordered, where, replace(self._rules, login=static.login))

    async def _among(self, exchangers: Sequence[Exchanger], where: Destination, rules: RouteRules) -> Plan | Outcome:
        found, answer = await asyncio.gather(
            asyncio.gather(*(self._resolve(exchanger, rules) for exchanger in exchangers)),
            self._published(where),
        )
        hosts = await self._demands.apply(found, where, answer)
        chosen = route.choose(hosts, rules, self._uniform)
        if isinstance(chosen, Outcome):
            return chosen
        return chosen.plan(route.site_name(where.next_hop, exchangers), waivers=self._rules.waivers)

    async def _published(self, where: Destination) -> StsAnswer:
        return await self._demands.published(where.recipient_domain) if where.recipient_domain else NO_POLICY

    async def _through(self, static: StaticRoute, port: int) -> Plan | Outcome:
        """A host of the operator's: no MX, no guard; its own TLSA records count (RFC 7672 §2.2.2)."""
        host = static.next_hop
        if parse_ip(host) is not None:
            demand = operator_demand(static.demand) if static.demand else OPPORTUNISTIC
            return Plan(host, (Candidate(host, host, port, demand, static.login),))
        rules = RouteRules(
            port, allow_private=True, families=self._rules.families, late=self._rules.late, login=static.login
        )
        found = await self._resolve(Exchanger(0, host), rules)
        where = Destination(host, port, secure=True, static=static.demand)
        chosen = route.choose(await self._demands.apply((found,), where), rules, self._uniform)
        return chosen if isinstance(chosen, Outcome) else chosen.plan(host, waivers=self._rules.waivers)

    async def _resolve(self, exchanger: Exchanger, rules: RouteRules) -> FoundHost:
        """A and AAAA at once; AAAA of a machine without IPv6 only to tell "no address" from "none for us"."""
        name = exchanger.name
        if 6 in rules.families:
            ipv4, ipv6 = await asyncio.gather(self._resolver.ask(name, "A"), self._resolver.ask(name, "AAAA"))
        else:
            ipv4 = await self._resolver.ask(name, "A")
            ipv6 = DnsAnswer(()) if ipv4.records else await self._resolver.ask(name, "AAAA")
        told = [answer for answer in (ipv4, ipv6) if answer.records]
        return FoundHost(
            ResolvedHost(exchanger, ipv4.records, ipv6.records, ipv4.failed or ipv6.failed),
            secure=any(answer.authentic for answer in told),
            canonical=next((answer.canonical for answer in told if answer.canonical), ""),
        )
