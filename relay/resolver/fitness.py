"""Whether an IPv6 address of ours is fit to send mail from: its name leads back to it, and SPF lets it send.

Large receivers refuse mail from an IPv6 address without a PTR record of its own, or that SPF does not name, where they
would have taken it over IPv4. So such an address is not used until the DNS says that it may.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from relay.policy.addresses import is_public
from relay.resolver.contract import Resolver

MAX_TERMS: Final = 10
"""Terms of one SPF evaluation that ask the DNS (RFC 7208 §4.6.4)."""


@dataclass(frozen=True, slots=True)
class Fitness:
    """`fit` None: the DNS gave no answer for now. `why` says what is missing."""

    fit: bool | None
    why: str = ""


async def fitness_of(resolver: Resolver, address: str, domains: Iterable[str]) -> Fitness:
    """Whether mail of `domains` may leave from the IPv6 `address`; one that is not public is nobody's concern."""
    if not is_public(address):
        return Fitness(True)
    ip = ipaddress.ip_address(address)
    names = await resolver.ask(ip.reverse_pointer, "PTR")
    if names.failed:
        return Fitness(None, "its PTR record cannot be looked up")
    back = [await resolver.ask(name.rstrip("."), "AAAA") for name in names.records[:5]]
    if not any(ip == ipaddress.ip_address(one) for answer in back for one in answer.records):
        uncertain = any(answer.failed for answer in back)
        return Fitness(None if uncertain else False, "it has no PTR record whose name leads back to it")
    for domain in domains:
        allowed = await _Spf(resolver, address).allows(domain)
        if not allowed:
            return Fitness(allowed, f"the SPF record of {domain} does not let it send")
    return Fitness(True)


class _Spf:
    """One evaluation of RFC 7208 §4.6 for an address; True = pass, None = no answer. Macros are not expanded."""

    def __init__(self, resolver: Resolver, address: str) -> None:
        self._resolver = resolver
        self._ip = ipaddress.ip_address(address)
        self._left = MAX_TERMS

    async def allows(self, domain: str) -> bool | None:
        answer = await self._resolver.ask(domain, "TXT")
        if answer.failed:
            return None
        found = [text for text in answer.records if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]
        if len(found) != 1:
            return False
        redirect = ""
        for term in found[0].split()[1:]:
            if term.lower().startswith("redirect="):
                redirect = term.partition("=")[2]
                continue
            name = term.lstrip("+-~?")
            matched = await self._matches(name, domain)
            if matched is None:
                return None
            if matched:
                return term[0] not in "-~?"
        return await self._follow(redirect) if redirect else False

    async def _follow(self, domain: str) -> bool | None:
        self._left -= 1
        return False if self._left < 0 else await self.allows(domain)

    async def _matches(self, term: str, domain: str) -> bool | None:
        kind, _, value = term.partition(":")
        kind = kind.lower().partition("/")[0]
        if kind == "all":
            return True
        if kind in {"ip4", "ip6"}:
            try:
                return self._ip in ipaddress.ip_network(value, strict=False)
            except (ValueError, TypeError):
                return False
        if kind == "include":
            return await self._follow(value)
        if kind in {"a", "mx"}:
            self._left -= 1
            return False if self._left < 0 else await self._among(kind, value.partition("/")[0] or domain)
        return False

    async def _among(self, kind: str, domain: str) -> bool | None:
        hosts = [domain]
        if kind == "mx":
            answer = await self._resolver.ask(domain, "MX")
            if answer.failed:
                return None
            hosts = [record.partition(" ")[2] for record in answer.records[:MAX_TERMS]]
        for host in hosts:
            answer = await self._resolver.ask(host, "AAAA" if self._ip.version == 6 else "A")
            if answer.failed:
                return None
            if any(ipaddress.ip_address(one) == self._ip for one in answer.records):
                return True
        return False
