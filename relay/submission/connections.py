"""Who may connect: open sessions of a worker, in total and by client address, and the trusted networks."""

from __future__ import annotations

from functools import lru_cache

from relay.peers import client_block, plain_address
from relay.seats import Seat, Seats
from relay.smtp.reply import Reply, reply
from relay.submission.options import SubmissionOptions

FULL = reply(421, "4.3.2", "too many connections, try again later")
_FULL_FOR_ADDRESS = reply(421, "4.7.0", "too many connections from your address")


class Connections:
    """Counts sessions; `admit` and `leave` come in pairs. No trusted client's session gives way to a newcomer."""

    def __init__(self, options: SubmissionOptions) -> None:
        self._options = options
        self._seats = Seats(options.max_connections)
        self.is_trusted = lru_cache(maxsize=4096)(self._is_trusted)

    def admit(self, peer: str, seat: Seat) -> Reply | None:
        """Count a session from `peer`, or say why there is no room for it."""
        block, trusted = client_block(peer), self.is_trusted(peer)
        if self._seats.held_by(block, firm=trusted) >= self._options.max_connections_per_address:
            return _FULL_FOR_ADDRESS
        return None if self._seats.take(block, seat, firm=trusted) else FULL

    def leave(self, seat: Seat) -> None:
        """A session that was admitted has ended."""
        self._seats.leave(seat)

    def _is_trusted(self, peer: str) -> bool:
        """Whether `peer` may relay without authentication."""
        address = plain_address(peer)
        return address is not None and any(address in network for network in self._options.trusted_networks)
