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
from web.admission import Ceiling, DayAdmission, Waiting
from web.letters import DOORBELLS
from web.network import Network
from web.row import Spot

_ASK_AGAIN: Final = timedelta(minutes=30)
_LOOK_TIMEOUT: Final = 3.0

_log = Log("front")


@dataclass(frozen=True, slots=True)
class Way:
    """From whom, in which stream and to whom a mail would go."""

    sender: str
    stream: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Waits:
    """Which row a letter stands in, and when it would leave without a ceiling."""

    network: Network
    wished: datetime
    letter_id: str = ""
    """Of a letter that is kept already."""


@dataclass(frozen=True, slots=True)
class Look:
    """Whose warm-up a letter needs room of, "" for nobody's; and its spot in the row, if it may not leave now."""

    place: str = ""
    spot: Spot | None = None


class Ceilings:
    """Knows all of them. Raises SpoolUnavailableError, RelayAwayError."""

    def __init__(self, relay: RelayClient, admission: DayAdmission, clock: Clock) -> None:
        self._relay = relay
        self._admission = admission
        self._clock = clock

    async def opens(self, way: Way, waiting: Waits, *, counts: bool) -> Look:
        """What a letter meets that wishes to leave; it may leave now if it has no spot in the row.

        One that `counts` then takes its place among those of today.

        It waits here rather than in the relay: until it leaves, its writer may take it back.
        """
        try:
            room = await self._relay.admission(way.sender, way.stream, way.recipient)
        except ValueError:  # no address, as the relay will say too
            return Look()
        provider = room.provider or way.recipient.rpartition("@")[2].lower()
        ceilings, place = [], ""
        if room.remaining is not None:
            # A domain warms up by itself, so what its letters left says nothing of another's.
            place = f"{way.sender.rpartition('@')[2]} {provider}"
            next_one = room.departs_at
            if room.remaining <= 0 and next_one is None:
                next_one = self._clock.now() + _ASK_AGAIN
            ceilings.append(Ceiling(place, room.remaining, daily=room.ceiling, next=next_one))
        if way.stream == DOORBELLS and self._admission.doorbells:
            ceilings.append(Ceiling(f"{DOORBELLS} {provider}", most=self._admission.doorbells))
        standing = Waiting(place, waiting.wished, waiting.letter_id)
        return Look(place, await self._admission.take(waiting.network, ceilings, standing, counts=counts))

    async def look(self, way: Way, waiting: Waits) -> Look:
        """`opens`, for who is told in advance; nothing if nobody can be asked: then the letter's page tells."""
        try:
            async with asyncio.timeout(_LOOK_TIMEOUT):
                return await self.opens(way, waiting, counts=False)
        except (TimeoutError, SpoolUnavailableError) as error:
            _log.warning("ceiling-not-known", why=str(error) or "timed out")
            return Look()
