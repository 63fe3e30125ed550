"""How many aggregate reports are kept of whom: what strangers invent must not crowd out what receivers tell. Pure.

A report counts only if it is about a domain that mail of ours can bear. Of such a domain, so many are kept a day, and
of those so many from one network. The reporter's name is not counted by: whoever forges it could use up the share of
an honest one; only where a host of our own hands all mail on is there nothing better.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from relay.public_suffix import organisational_domain

_IPV4_PREFIX: Final = 24
_IPV6_PREFIX: Final = 48
_NAME: Final = re.compile(r"[a-z0-9._-]{1,255}")
"""What is taken for a domain: whatever else a stranger wrote is nothing that a database must be able to hold."""


@dataclass(frozen=True, slots=True)
class Share:
    """Reports a day, and the octets that they fill as they are stored."""

    reports: int
    octets: int


OF_REPORTER: Final = Share(50, 20_000_000)
"""What one network may tell of one domain: the largest receivers send a report an hour."""
OF_DOMAIN: Final = Share(1_000, 100_000_000)
"""What everybody together may tell of one domain."""


def fits(share: Share, reports: int, octets: int, more: int) -> bool:
    """Whether one more report of `more` octets fits beside what was kept today."""
    return reports < share.reports and octets + more <= share.octets


def reported_domains(named: Iterable[str]) -> frozenset[str]:
    """The domains that reports about mail under `named` ones speak of: each, and what stands above it.

    A policy may be published higher up (RFC 9989 §4.10), so what stands above counts up to the organisational domain:
    what is told of `co.uk` is told of strangers.
    """
    found: set[str] = set()
    for name in (one.lower().rstrip(".") for one in named):
        labels = name.split(".")
        above = len(labels) - (organisational_domain(name) or name).count(".")
        found |= {".".join(labels[start:]) for start in range(above)}
    return frozenset(found)


def reporter_of(peer: str, author: str) -> str:
    """Who brings a report: the network of the client, or for one of this site the domain that its From claims."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if not address.is_global:
        return f"via {author.lower()}" if _NAME.fullmatch(author.lower()) else "unknown"
    prefix = _IPV4_PREFIX if address.version == 4 else _IPV6_PREFIX
    return str(ipaddress.ip_network((address, prefix), strict=False))
