"""What the egress sources mean for routes: the IP versions mail can leave by."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from relay.policy.addresses import parse_ip
from relay.policy.route import Source

_FAR_V6 = "2001:db8::1"


def families_of(sources: Iterable[Source]) -> frozenset[int]:
    """The IP versions of `sources`; one that leaves the choice to the system has IPv6 only with a route out."""
    families: set[int] = set()
    for source in sources:
        ip = parse_ip(source.address)
        if ip is not None:
            families.add(ip.version)
        else:
            families.add(4)
            if has_ipv6_route():
                families.add(6)
    return frozenset(families or {4})


def has_ipv6_route() -> bool:
    """Whether this machine would know where to send IPv6; connecting a datagram socket sends nothing."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR_V6, 53))
    except OSError:
        return False
    return True
