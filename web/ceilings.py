"""When a letter may leave that a ceiling holds back: the warm-up's of its provider, or one of the operator's.

Asked at the preview and at sending, so that its writer reads when it leaves, and at its departure, where it takes its
place among those of the day. What is asked about is the domain alone, so the answer says nothing of a recipient.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relay.client.contract import RelayClient
from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.admission import Ceiling, DayAdmission
from web.letters import DOORBELLS
from web.network import Network

SPREAD: Final = timedelta(minutes=20)
"""Letters that waited for the same moment leave within so much after it."""

_ASK_AGAIN: Final = timedelta(minutes=30)
_LOOK_TIMEOUT: Final = 3.0

_log = Log("front")


@dataclass(frozen=True, slots=True)
class Way:
    """From whom, in which stream and to whom a mail would go."""

    sender: str
    stream: str
    recipient: str


class Ceilings:
    """Knows all of them. Raises SpoolUnavailableError, RelayAwayError."""

    def __init__(self, relay: RelayClient, admission: DayAdmission, clock: Clock) -> None:
        self._relay = relay
        self._admission = admission
        self._clock = clock

    async def opens(self, way: Way, network: Network, *, counts: bool) -> datetime | None:
        """When to ask again for a letter whose writer came by `network`; None if it may leave now.

        One that `counts` takes its place among those of today.

        It waits here rather than in the relay: until it leaves, its writer may take it back.
        """
        try:
            room = await self._relay.admission(way.sender, way.stream, way.recipient)
        except ValueError:  # no address, as the relay will say too
            return None
        if room.remaining is not None and room.remaining <= 0:
            return max(room.departs_at or self._clock.now() + _ASK_AGAIN, self._clock.now() + timedelta(minutes=1))
        provider = room.provider or way.recipient.rpartition("@")[2].lower()
        ceilings = []
        if room.remaining is not None:
            # A domain warms up by itself, so what its letters left says nothing of another's.
            domain = way.sender.rpartition("@")[2]
            ceilings.append(Ceiling(f"{domain} {provider}", room.remaining))
        if way.stream == DOORBELLS and self._admission.doorbells:
            ceilings.append(Ceiling(f"{DOORBELLS} {provider}", most=self._admission.doorbells))
        return await self._admission.take(network, ceilings, counts=counts)

    async def look(self, way: Way, network: Network) -> datetime | None:
        """`opens`, for who is told in advance; None too if nobody can be asked: then the letter's page tells."""
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT):
                return await self.opens(way, network, counts=False)
        except (TimeoutError, SpoolUnavailableError) as error:
            _log.warning("ceiling-not-known", why=str(error) or "timed out")
            return None
