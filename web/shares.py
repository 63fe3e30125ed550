"""How a day's letters are shared between kinds of network: pure.

Each kind has a guaranteed part of the day's ceiling. What a kind has not used of its part is kept for it as long as
the day has time left for it, and released bit by bit as the day goes: so no kind can take away another's part by being
early or many, and none of the day's room is wasted where a kind does not come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from web.network import Network

_DAY: Final = timedelta(days=1)
_STEP: Final = timedelta(minutes=30)
_FURTHEST: Final = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class Shares:
    """The guaranteed parts, from 0 to 1; what Tor and data centres leave is the others'."""

    tor: float = 0.2
    data_centre: float = 0.1

    def of(self, network: Network) -> float:
        """The part of `network`."""
        match network:
            case Network.TOR:
                return self.tor
            case Network.DATA_CENTRE:
                return self.data_centre
            case Network.DIRECT:
                return max(0.0, 1 - self.tor - self.data_centre)


USUAL: Final = Shares()


@dataclass(frozen=True, slots=True)
class Room:
    """A ceiling of `most` letters today, of whose kinds so many have left; `daily` on later days, 0: the same."""

    most: int
    left: Mapping[Network, int]
    daily: int = 0

    def open_to(self, network: Network, shares: Shares, remaining: float) -> float:
        """So many may leave in all while `network` may, with that part of the day to come; others' parts are kept."""
        return self.most - sum(self._kept(other, shares, remaining) for other in Network if other is not network)

    def opens(self, network: Network, shares: Shares, now: datetime, ahead: int = 0) -> datetime | None:
        """When there is room for one of `network` that has `ahead` of its kind before it, None at once; days in UTC.

        What is still far off is no later than `_FURTHEST` here: it is asked again before.
        """
        room, at, begins = self, now, _midnight(now)
        if not (self.daily or self.most):
            return begins + _DAY  # nobody knows what tomorrow allows
        while begins - now < _FURTHEST:
            end = begins + _DAY
            rest = room.free(network, shares, 0.0)
            while rest > ahead and at < end:
                if room.free(network, shares, (end - at) / _DAY) > ahead:
                    return None if at == now else at
                at += _STEP
            ahead -= int(max(0, min(rest, ahead)))
            room, at, begins = Room(self.daily or self.most, {}), end, end
        return begins

    def free(self, network: Network, shares: Shares, remaining: float) -> float:
        """How many of `network` may leave by when `remaining` of the day, as a part of it, is to come."""
        return round(self.open_to(network, shares, remaining) - sum(self.left.values()), 6)

    def _kept(self, network: Network, shares: Shares, remaining: float) -> float:
        """What is kept for `network`: the rest of its part, but no more than its part of the time to come."""
        part = int(shares.of(network) * self.most)
        return max(0.0, min(part - self.left.get(network, 0), part * remaining))


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
