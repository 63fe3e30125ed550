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
    """A ceiling of `most` letters a day, and how many of each kind have left today."""

    most: int
    left: Mapping[Network, int]

    def has_room(self, network: Network, shares: Shares, remaining: float) -> bool:
        """Whether one more letter of `network` may leave, `remaining` being the part of the day that is to come."""
        return sum(self.left.values()) < self.open_to(network, shares, remaining)

    def open_to(self, network: Network, shares: Shares, remaining: float) -> float:
        """So many may leave in all while `network` may: what the others' parts keep is not for it."""
        return self.most - sum(self._kept(other, shares, remaining) for other in Network if other is not network)

    def opens(self, network: Network, shares: Shares, now: datetime) -> datetime | None:
        """When to ask for `network`, None at once. Days are in UTC."""
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
        if self.has_room(network, shares, (midnight - now) / _DAY):
            return None
        at = now + _STEP
        while sum(self.left.values()) < self.most and at < midnight:
            if self.has_room(network, shares, (midnight - at) / _DAY):
                return at
            at += _STEP
        return midnight

    def _kept(self, network: Network, shares: Shares, remaining: float) -> float:
        """What is kept for `network`: the rest of its part, but no more than its part of the time to come."""
        part = int(shares.of(network) * self.most)
        return max(0.0, min(part - self.left.get(network, 0), part * remaining))
