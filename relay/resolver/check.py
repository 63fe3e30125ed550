"""What the DNS tells of an address's domain before anything is sent, and what its writer may have meant.

Stands behind the web form. It asks the DNS and nobody's mail host: no call-out ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, assert_never

from relay.policy import route
from relay.resolver.contract import DnsFailure, Resolver
from relay.well_known import WELL_KNOWN

_SHORT: Final = 8
"""Domains up to this length are corrected by one step at most: two turn "aol.fr" into "sfr.fr"."""
_MAX_LENGTH: Final = max(map(len, WELL_KNOWN)) + 2


class DomainCheck(StrEnum):
    """What is known of a domain; the values are the reasons `relay.client.contract.AddressCheck` names."""

    OK = "ok"
    NO_DOMAIN = "no-domain"
    """NXDOMAIN."""
    NULL_MX = "null-mx"
    """The domain says that it takes no mail (RFC 7505)."""
    NO_HOST = "no-host"
    """There is a domain and no host that could take its mail."""
    UNKNOWN = "unknown"
    """The DNS did not answer: the address may still be right."""


async def check_domain(resolver: Resolver, domain: str) -> DomainCheck:
    """Whether mail to `domain` (an A-label name) has anywhere to go, as far as the DNS knows."""
    answer = await resolver.ask(domain, "MX")
    match answer.failure:
        case None:
            exchangers = route.parse_mx(answer.records)
            if route.is_null_mx(exchangers):
                return DomainCheck.NULL_MX
            return await _any_host(resolver, [e.name for e in route.order(exchangers, _no_shuffle)[: route.MAX_HOSTS]])
        case DnsFailure.NODATA:
            return await _any_host(resolver, [domain])
        case DnsFailure.NXDOMAIN:
            return DomainCheck.NO_DOMAIN
        case DnsFailure.SERVFAIL | DnsFailure.TIMEOUT:
            return DomainCheck.UNKNOWN
        case _:
            assert_never(answer.failure)


async def _any_host(resolver: Resolver, names: Sequence[str]) -> DomainCheck:
    answers = await asyncio.gather(*(resolver.ask(name, kind) for name in names for kind in ("A", "AAAA")))
    if any(answer.records for answer in answers):
        return DomainCheck.OK
    if any(answer.failure in {DnsFailure.SERVFAIL, DnsFailure.TIMEOUT} for answer in answers):
        return DomainCheck.UNKNOWN
    return DomainCheck.NO_HOST


def _no_shuffle() -> float:
    return 0.0


def suggest(address: str) -> str:
    """The address the writer may have meant ("ann@gmial.com" → "ann@gmail.com"), empty when none is near.

    Only the domain is compared, with well-known providers; one of those is never "corrected".
    """
    local, at, domain = address.rpartition("@")
    domain = domain.lower()
    if not at or not domain or domain in WELL_KNOWN or len(domain) > _MAX_LENGTH:
        return ""
    nearest = _nearest(domain)
    return f"{local}@{nearest}" if nearest else ""


@lru_cache(maxsize=1024)
def _nearest(domain: str) -> str:
    """The well-known provider that `domain` is a slip of the hand away from. Every preview asks, so it is cheap."""
    most = 1 if len(domain) <= _SHORT else 2
    alike = (known for known in WELL_KNOWN if abs(len(known) - len(domain)) <= most)
    steps, nearest = min(((distance(domain, known, most), known) for known in alike), default=(most + 1, ""))
    return nearest if steps <= most else ""


def distance(first: str, second: str, most: int = 255) -> int:
    """Damerau-Levenshtein distance: insertions, deletions, substitutions and swaps of neighbours.

    Beyond `most` any number above it.
    """
    before = previous = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        current = [i]
        for j, b in enumerate(second, start=1):
            best = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and b == first[i - 2]:
                best = min(best, before[j - 2] + 1)
            current.append(best)
        before, previous = previous, current
        if min(before) > most and min(previous) > most:
            return most + 1  # a later row is made of these two
    return previous[-1]
