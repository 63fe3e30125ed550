"""Who is at the other end of a connection: its address in one form, and what one client owns at least."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any


def peer_address(peername: Any) -> str:
    """The client's IP address in its shortest form, without zone; "" for what is no IP socket.

    An IPv4 client of a dual-stack socket is the IPv4 address it is, or it would be trusted, counted and
    logged under two names.
    """
    if not isinstance(peername, tuple) or not peername:
        return ""
    address = plain_address(str(peername[0]))
    return "" if address is None else str(address)


@lru_cache(maxsize=4096)
def client_block(peer: str) -> str:
    """What one client owns at least: its IPv4 address, or the whole /64 around its IPv6 address."""
    address = plain_address(peer)
    if address is None:
        return "unknown"
    return str(address if isinstance(address, IPv4Address) else ip_network((address, 64), strict=False))


def plain_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address, the IPv4 one where IPv6 only carries it; None for what is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
