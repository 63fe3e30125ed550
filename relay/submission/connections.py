"""Who may connect: open sessions of a worker, in total and by client address, and the trusted networks."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Protocol

from relay.smtp.reply import Reply, reply
from relay.submission.options import SubmissionOptions

_FULL = reply(421, "4.3.2", "too many connections, try again later")
_FULL_FOR_ADDRESS = reply(421, "4.7.0", "too many connections from your address")


class Seat(Protocol):
    """A session, as those who count it see it."""

    @property
    def waits_for_client(self) -> bool:
        """Whether it waits for its client, not for us."""
        ...

    def hang_up(self, last: Reply) -> None:
        """Say `last` and end."""
        ...


class Connections:
    """Counts sessions; `admit` and `leave` come in pairs.

    A few addresses that fill the door keep nobody out: for a newcomer who has fewer, whoever holds most gives up the
    oldest session that waits for its client. Nothing that is being committed ends so, and no trusted client's session.
    """

    def __init__(self, options: SubmissionOptions) -> None:
        self._options = options
        self._total = 0
        self._strangers: dict[str, dict[Seat, None]] = {}
        """Sessions by block, in the order in which they came."""
        self._trusted: dict[str, dict[Seat, None]] = {}
        self.is_trusted = lru_cache(maxsize=4096)(self._is_trusted)

    def admit(self, peer: str, seat: Seat) -> Reply | None:
        """Count a session from `peer`, or say why there is no room for it."""
        block, side = client_block(peer), self._side(peer)
        held = len(side.get(block, ()))
        if held >= self._options.max_connections_per_address:
            return _FULL_FOR_ADDRESS
        before_strangers = 0 if side is self._trusted else held
        if self._total >= self._options.max_connections and not self._make_room(before_strangers):
            return _FULL
        self._total += 1
        side.setdefault(block, {})[seat] = None
        return None

    def leave(self, peer: str, seat: Seat) -> None:
        """A session that was admitted has ended; one that gave way has left already."""
        self._leave(self._side(peer), client_block(peer), seat)

    def _side(self, peer: str) -> dict[str, dict[Seat, None]]:
        return self._trusted if self.is_trusted(peer) else self._strangers

    def _leave(self, side: dict[str, dict[Seat, None]], block: str, seat: Seat) -> None:
        seats = side.get(block, {})
        if seat in seats:
            del seats[seat]
            self._total -= 1
            if not seats:
                del side[block]

    def _make_room(self, held: int) -> bool:
        """End one of the stranger who has most, if they then have no fewer than the newcomer, who has `held`."""
        most, block = max(((len(seats), block) for block, seats in self._strangers.items()), default=(0, ""))
        seats = self._strangers[block] if most > held + 1 else {}
        idle = next((seat for seat in seats if seat.waits_for_client), None)
        if idle is None:
            return False
        self._leave(self._strangers, block, idle)
        idle.hang_up(_FULL)
        return True

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
