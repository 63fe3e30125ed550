"""What the egress sources mean for routes: the IP versions mail can leave by."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from relay.policy.addresses import parse_ip
from relay.policy.way import Source

_FAR_V4 = "198.51.100.1"
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
    """Whether this machine would know where to send IPv6."""
    return bool(_leaves_from(socket.AF_INET6, _FAR_V6))


def system_addresses() -> set[str]:
    """The addresses this machine's system would send from, at most one of each IP version; never a loopback one."""
    found = (_leaves_from(socket.AF_INET, _FAR_V4), _leaves_from(socket.AF_INET6, _FAR_V6))
    return {address for address in found if address and not ipaddress.ip_address(address).is_loopback}


def _leaves_from(family: socket.AddressFamily, far: str) -> str:
    """The local address on the way to `far`, "" without a way; connecting a datagram socket sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 53))
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        return ""
