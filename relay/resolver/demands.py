"""What TLS each host of a domain must offer: DANE first, then MTA-STS, the operator's word above or under both.

Stands between the router, which has resolved the hosts, and the plan. Asks TLSA only where the answers that led
to the host are secure (H01, H03); a look-up that fails leaves the host out for now (H02); a host with secure TLSA
records is none of MTA-STS's business (H11).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from relay.policy import dane, tls
from relay.policy.mta_sts import StsMode
from relay.policy.route import ResolvedHost
from relay.policy.tls import OPPORTUNISTIC, Fault, HostDemand, PolicyType, TlsDemand, TlsResult
from relay.resolver.contract import Resolver
from relay.resolver.mta_sts import NO_POLICY, StsAnswer, StsPolicies


@dataclass(frozen=True, slots=True)
class FoundHost:
    """A host with what the DNS vouches for: `secure` its addresses; `canonical` its name behind CNAMEs."""

    host: ResolvedHost
    secure: bool
    canonical: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """Whose mail it is and where it goes: the next hop's name, the port, and whether the way there is secure.

    `recipient_domain` is empty where MTA-STS does not apply: next hops of the operator's, address literals.
    """

    next_hop: str
    port: int
    secure: bool
    recipient_domain: str = ""
    static: TlsDemand | None = None


class Demands:
    """Finds demands. `sts` None leaves MTA-STS out, `dane_on` False DANE; `static` are the operator's, by domain."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        sts: StsPolicies | None = None,
        dane_on: bool = True,
        static: Mapping[str, TlsDemand] | None = None,
    ) -> None:
        self._resolver = resolver
        self._sts = sts
        self._dane_on = dane_on
        self._static = dict(static or {})

    def static(self, domain: str) -> TlsDemand | None:
        """The operator's word on a domain."""
        return self._static.get(domain)

    async def published(self, domain: str) -> StsAnswer:
        """What the recipient's domain publishes by MTA-STS, as far as it matters here."""
        if self._sts is None or tls.overridden(self.static(domain)):
            return NO_POLICY
        return await self._sts.of(domain)

    async def apply(
        self, hosts: Sequence[FoundHost], where: Destination, answer: StsAnswer = NO_POLICY
    ) -> tuple[ResolvedHost, ...]:
        """The hosts with their demands, or with why they are left out."""
        static = where.static
        if static is not None and tls.overridden(static):
            return tuple(replace(found.host, demand=tls.operator_demand(static)) for found in hosts)
        demanded = await asyncio.gather(*(self._of_host(found, where, answer) for found in hosts))
        if static is None:
            return tuple(demanded)
        return tuple(replace(host, demand=tls.over_floor(host.demand, static)) for host in demanded)

    async def _of_host(self, found: FoundHost, where: Destination, answer: StsAnswer) -> ResolvedHost:
        host = found.host
        if self._dane_on and where.secure and (host.ipv4 or host.ipv6):
            pinned = await self._dane(found, where)
            if isinstance(pinned, Fault):
                demand = HostDemand(TlsDemand.DANE, policy=PolicyType.TLSA, domain=host.exchanger.name)
                return replace(host, demand=demand, refusal=pinned)
            if pinned is not None:
                return replace(host, demand=pinned)
        return _under_sts(host, where.recipient_domain, answer)

    async def _dane(self, found: FoundHost, where: Destination) -> HostDemand | Fault | None:
        """The demand of the host's TLSA records, None without any; the expanded name's come first (H04)."""
        name = found.host.exchanger.name
        for base in await self._bases(found):
            answer = await self._resolver.ask(f"_{where.port}._tcp.{base}", "TLSA")
            if answer.failed:
                return Fault("its TLSA records could not be looked up", TlsResult.DNSSEC_INVALID)
            if answer.records and answer.authentic:
                return _pinned(answer.records, (base, name, where.next_hop))
        return None

    async def _bases(self, found: FoundHost) -> list[str]:
        """The names whose TLSA records are asked (RFC 7672 §2.2.3)."""
        name = found.host.exchanger.name
        if found.secure:
            return list(dict.fromkeys((found.canonical or name, name)))
        if found.canonical:
            # An alias that leads out of the signed space may still be a secure record itself (RFC 7672 §2.2.2).
            alias = await self._resolver.ask(name, "CNAME")
            return [name] if alias.authentic and alias.records else []
        return []


def _pinned(records: Sequence[str], names: tuple[str, ...]) -> HostDemand:
    base = names[0]
    tlsa = dane.usable(records)
    if tlsa:
        distinct = tuple(dict.fromkeys(names))
        return HostDemand(TlsDemand.DANE, policy=PolicyType.TLSA, domain=base, tlsa=tlsa, names=distinct)
    unusable = Fault("no TLSA record of the host can be used", TlsResult.TLSA_INVALID)
    return HostDemand(TlsDemand.ENCRYPT, policy=PolicyType.TLSA, domain=base, names=(base,), known=unusable)


def _under_sts(host: ResolvedHost, domain: str, answer: StsAnswer) -> ResolvedHost:
    """The host as the domain's MTA-STS policy sees it (I06)."""
    policy = answer.policy
    if policy is None:
        if answer.fault is None:
            return host
        return replace(host, demand=replace(OPPORTUNISTIC, policy=PolicyType.STS, domain=domain, known=answer.fault))
    if policy.mode is StsMode.NONE:
        return host
    unlisted = Fault("it is not listed by the domain's MTA-STS policy", TlsResult.VALIDATION_FAILURE)
    wrong = None if policy.allows(host.exchanger.name) else unlisted
    if policy.mode is StsMode.TESTING:
        return replace(host, demand=HostDemand(policy=PolicyType.STS, domain=domain, testing=True, known=wrong))
    return replace(host, demand=HostDemand(TlsDemand.STS, policy=PolicyType.STS, domain=domain), refusal=wrong)
