"""What kind of network a visitor comes from: an ordinary one, Tor, or a data centre.

Told from lists that the operator keeps as files; who is in none of them comes directly. Only the kind is ever kept,
and only while a letter or a notice waits: it decides whose share of a day, or of a pile, it is counted in.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path
from typing import Final

from relay.errors import ConfigurationError
from relay.log import Log
from web.client_address import IPAddress

LOOK_EVERY: Final = 60.0
"""Seconds between two looks at the files."""

_log = Log("front")


class Network(StrEnum):
    """A kind of network, as it is stored with a letter that waits."""

    DIRECT = "direct"
    TOR = "tor"
    DATA_CENTRE = "data-centre"


class AddressSet:
    """Networks as disjoint ranges: a look-up is one bisection, however many there are."""

    def __init__(self, networks: Iterable[IPv4Network | IPv6Network]) -> None:
        known = list(networks)
        self._ranges = {
            4: _ranges(collapse_addresses(one for one in known if isinstance(one, IPv4Network))),
            6: _ranges(collapse_addresses(one for one in known if isinstance(one, IPv6Network))),
        }

    def __contains__(self, address: IPAddress) -> bool:
        starts, ends = self._ranges[address.version]
        place = bisect_right(starts, int(address)) - 1
        return place >= 0 and int(address) <= ends[place]


class NetworkLists:
    """The lists of each kind. Raises ConfigurationError for a file that cannot be read or has a bad line."""

    def __init__(self, files: Mapping[Network, Sequence[Path]]) -> None:
        self._files = files
        self._seen: Mapping[Path, tuple[int, int]] = {}
        self._sets: Mapping[Network, AddressSet] = {}
        self.reload()

    def of(self, address: IPAddress | None) -> Network:
        """The kind of network `address` is in; the first list that has it decides."""
        if address is not None:
            for network, addresses in self._sets.items():
                if address in addresses:
                    return network
        return Network.DIRECT

    def reload(self) -> bool:
        """Read the lists again if a file changed. A list that is damaged now leaves all as they were."""
        now = {path: _stamp(path) for paths in self._files.values() for path in paths}
        if now == self._seen:
            return False
        self._sets = {network: _read(paths) for network, paths in self._files.items()}
        self._seen = now
        return True

    async def follow(self) -> None:
        """Look for changed files until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                # Tens of thousands of networks take a good part of a second to read.
                if await asyncio.to_thread(self.reload):
                    _log.info("network-lists-read")
            except ConfigurationError as error:
                _log.warning("network-list-damaged", why=str(error), remedy="the lists read before stay in use")


def _read(paths: Sequence[Path]) -> AddressSet:
    return AddressSet(network for path in paths for network in _networks(path))


def _networks(path: Path) -> Iterable[IPv4Network | IPv6Network]:
    """The networks of a file: the first word of each line, `#` and `;` begin comments."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].partition(";")[0].split()
        if not words:
            continue
        try:
            yield ip_network(words[0], strict=False)
        except ValueError:
            raise ConfigurationError(f"{path}, line {number}: {words[0][:60]!r} is no address or network") from None


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    return found.st_mtime_ns, found.st_size


def _ranges(networks: Iterable[IPv4Network] | Iterable[IPv6Network]) -> tuple[list[int], list[int]]:
    known = [(int(one.network_address), int(one.broadcast_address)) for one in networks]
    return [start for start, _ in known], [end for _, end in known]
