"""Which IP addresses an exchanger of a public domain may have. Pure.

The guard against being led to ourselves and to our neighbours: an MX record is the claim of a stranger, and
mail sent to 127.0.0.1 or 169.254.169.254 because of it would be a request forged in our name (B19, RFC 6761).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Written out, not left to `is_global`, whose answer differs between releases of Python.
_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # unspecified, "this network"
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata service of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
"""The only space that is routed. Outside lie ::, ::1, ::ffff:0:0/96 (mapped), 64:ff9b::/96 (NAT64: its IPv4
address is what the A record says, judged there), fc00::/7, fe80::/10 and ff00::/8."""
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # IETF protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: holds any IPv4 address
        "3fff::/20",  # documentation
    )
)


def parse_ip(text: str) -> IpAddress | None:
    """The IP address in `text` (no zone, no brackets), None if it is none."""
    try:
        return ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return None


@lru_cache(maxsize=8192)
def is_public(address: str) -> bool:
    """Whether `address` is a global unicast address that a host on the Internet can have."""
    ip = parse_ip(address)
    if ip is None:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return not any(ip in network for network in _REFUSED_V4)
    return ip in _GLOBAL_V6 and not any(ip in network for network in _REFUSED_V6)
