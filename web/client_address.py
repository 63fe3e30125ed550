"""Whose request is it, when proxies stand in between: only what a trusted proxy says is believed (S50).

The list of a Forwarded (RFC 7239) or X-Forwarded-For field, all of its lines together (RFC 9110 §5.3), is read from
the right, where our own proxies wrote, up to the first address that is none of theirs. What stands further left was
written by strangers, who can make it neither too long to be read nor a line before ours. Where a proxy's word cannot
be told from a stranger's, the client is disputed: whoever has to know them must not go on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from multidict import MultiMapping

_LONGEST: Final = 4096
_FOR: Final = re.compile(r'(?:^|;)\s*for=(?:"([^"]*)"|([^;,"\s]*))', re.IGNORECASE)
_BRACKETED: Final = re.compile(r"\[([^\]]+)\](?::(\d{1,5}))?")
_WITH_PORT: Final = re.compile(r"([0-9.]+)(?::(\d{1,5}))?")

_SUBSCRIBER: Final = 7
_SITE: Final = 6
"""Octets of an IPv6 address that name a /56 and a /48."""

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """Who asks. `address` is None for a peer without one; `port` None where it is not known."""

    address: IPAddress | None
    port: int | None
    disputed: bool = False
    """Whether a trusted proxy stands between that did not say who asks in a way that can be believed: `address` is the
    proxy's, good for counting what is asked, never for a record of who did.
    """

    @property
    def network(self) -> bytes:
        """What one subscriber usually has: the IPv4 address, or the /56 of an IPv6 address."""
        match self.address:
            case None:
                return b""
            case IPv4Address():
                return self.address.packed
            case IPv6Address():
                return self.address.packed[:_SUBSCRIBER]


def site_of(network: bytes) -> bytes | None:
    """The /48 of a client's network (`ClientAddress.network`), which a single subscriber may have; None for IPv4."""
    return network[:_SITE] if len(network) == _SUBSCRIBER else None


class ClientAddressReader:
    """Reads the client's address from a request. Raises ValueError for a proxy that is no network."""

    def __init__(self, trusted_proxies: Sequence[str], port_header: str) -> None:
        self._trusted: list[IPv4Network | IPv6Network] = [ip_network(proxy, strict=False) for proxy in trusted_proxies]
        self._port_header = port_header

    def read(self, peer: tuple[str, int] | None, headers: MultiMapping[str]) -> ClientAddress:
        """The client behind `peer`, a socket's address and port; the proxy itself where it names nobody.

        If both kinds of field are there and disagree, one of them came through from the client, and neither
        is believed.
        """
        if peer is None:
            return ClientAddress(None, None)
        direct = _parse(peer[0])
        if direct is None:
            return ClientAddress(None, None)
        if not self._is_trusted(direct.address):
            return ClientAddress(direct.address, peer[1])
        told = [
            self._walk(entries)
            for entries in (_forwarded(headers.getall("Forwarded", [])), _listed(headers.getall("X-Forwarded-For", [])))
            if entries
        ]
        if not told:
            return ClientAddress(direct.address, peer[1])
        if any(client is None or client != told[0] for client in told) or told[0] is None:
            return ClientAddress(direct.address, peer[1], disputed=True)
        port = told[0].port
        return ClientAddress(told[0].address, self._port(headers) if port is None else port)

    def _walk(self, entries: list[str]) -> ClientAddress | None:
        client: ClientAddress | None = None
        for entry in reversed(entries):
            hop = _parse(entry)
            if hop is None:
                return None
            client = hop
            if not self._is_trusted(hop.address):
                return client
        return client

    def _is_trusted(self, address: IPAddress | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _port(self, headers: MultiMapping[str]) -> int | None:
        """The last line is the one that the nearest proxy wrote."""
        text = headers.getall(self._port_header, [""])[-1].strip()
        return int(text) if text.isascii() and text.isdecimal() and 0 < int(text[:6]) < 65536 else None


def _forwarded(lines: list[str]) -> list[str]:
    """The `for` of each element; one without a usable `for` stays as an empty entry, so that no hop is skipped."""
    matches = [_FOR.search(element) for element in _listed(lines)]
    return [(match[1] or match[2] or "") if match else "" for match in matches]


def _listed(lines: list[str]) -> list[str]:
    """The elements of all lines of a field; of more than are read the last ones, which were written nearest to us."""
    joined = ",".join(lines)
    if len(joined) > _LONGEST:
        joined = joined[-_LONGEST:].partition(",")[2] or "too long"
    return [entry.strip() for entry in joined.split(",")] if joined.strip() else []


def _parse(text: str) -> ClientAddress | None:
    match = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    host, port = (match[1], match[2]) if match else (text.partition("%")[0], None)
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    number = int(port) if port else None
    return ClientAddress(address, number if number is None or 0 < number < 65536 else None)
