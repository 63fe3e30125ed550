"""Who may connect: open sessions of a worker, in total and by client address, and the trusted networks."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from relay.smtp.reply import Reply, reply
from relay.submission.options import SubmissionOptions

_FULL = reply(421, "4.3.2", "too many connections, try again later")
_FULL_FOR_ADDRESS = reply(421, "4.7.0", "too many connections from your address")


class Connections:
    """Counts sessions; `admit` and `leave` come in pairs."""

    def __init__(self, options: SubmissionOptions) -> None:
        self._options = options
        self._total = 0
        self._by_address: dict[str, int] = {}
        self.is_trusted = lru_cache(maxsize=4096)(self._is_trusted)

    def admit(self, peer: str) -> Reply | None:
        """Count a session from `peer`, or say why there is no room for it."""
        if self._total >= self._options.max_connections:
            return _FULL
        block = client_block(peer)
        count = self._by_address.get(block, 0)
        if count >= self._options.max_connections_per_address:
            return _FULL_FOR_ADDRESS
        self._total += 1
        self._by_address[block] = count + 1
        return None

    def leave(self, peer: str) -> None:
        """A session that was admitted has ended."""
        self._total -= 1
        block = client_block(peer)
        count = self._by_address[block] - 1
        if count:
            self._by_address[block] = count
        else:
            del self._by_address[block]

    def _is_trusted(self, peer: str) -> bool:
        """Whether `peer` may relay without authentication."""
        address = _plain_address(peer)
        return address is not None and any(address in network for network in self._options.trusted_networks)


def peer_address(peername: Any) -> str:
    """The client's IP address in its shortest form, without zone; "" for what is no IP socket.

    An IPv4 client of a dual-stack socket is the IPv4 address it is, or it would be trusted, counted and
    logged under two names.
    """
    if not isinstance(peername, tuple) or not peername:
        return ""
    address = _plain_address(str(peername[0]))
    return "" if address is None else str(address)


@lru_cache(maxsize=4096)
def client_block(peer: str) -> str:
    """What one client owns at least: its IPv4 address, or the whole /64 around its IPv6 address."""
    address = _plain_address(peer)
    if address is None:
        return "unknown"
    return str(address if isinstance(address, IPv4Address) else ip_network((address, 64), strict=False))


def _plain_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
