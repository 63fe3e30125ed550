"""Crowds: where as much waits of a kind of network as leaves of it in a day, who comes now stands in the slow lane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relay.client.contract import Admission, RelayAwayError, RelayClient
from relay.clock import Clock
from web.admission import DayAdmission
from web.letters import STREAM
from web.network import Network

_REMEMBERED: Final = 30.0
"""Seconds for which what waits is counted once."""

FEWEST: Final = 20
"""So many letters that wait are no crowd, however small a kind's part is."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """A kind's part of a day, None without a ceiling, and whether as much waits already."""

    part: float | None
    crowded: bool


class Crowds:
    """Looks at what waits, for letters from the address `sender`. Raises SpoolUnavailableError."""

    def __init__(self, admission: DayAdmission, relay: RelayClient, sender: str, clock: Clock) -> None:
        self._admission = admission
        self._relay = relay
        self._sender = sender
        self._clock = clock
        self._known: dict[Network, tuple[float, Crowd]] = {}

    async def of(self, network: Network) -> Crowd:
        """What waits of a kind of network, as it was at most half a minute ago."""
        known = self._known.get(network)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        crowd = await self._look(network)
        self._known[network] = (self._clock.monotonic() + _REMEMBERED, crowd)
        return crowd

    async def _look(self, network: Network) -> Crowd:
        most: int | None = self._admission.most or None
        room = await self._room()
        if room.remaining is not None:
            most = room.remaining if most is None else min(most, room.remaining)
        if most is None:
            return Crowd(None, crowded=False)
        part = self._admission.shares.of(network) * most
        return Crowd(part, crowded=await self._admission.waiting(network) >= max(part, FEWEST))

    async def _room(self) -> Admission:
        """What the relay has room for; while it is away the operator's own ceiling is all there is."""
        try:
            return await self._relay.admission(self._sender, STREAM)
        except RelayAwayError:
            return Admission(None)
