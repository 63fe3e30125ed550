"""How many addresses get no letters because their owners said so: for /transparency (RCP 12). Asked of the relay.

Beside the courier's rounds, so that no page waits for it and no visitor makes the relay count; and once a day, since a
count that follows every refusal would tell a writer of theirs. All processes share the first answer of a day.
"""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Final

from relay.client.contract import RelayClient
from web.day_counts import DayCounts
from web.letters import STREAM

_ASK_TIMEOUT: Final = 10.0


class RefusalCount:
    """Has them counted."""

    def __init__(self, relay: RelayClient, counts: DayCounts) -> None:
        self._relay = relay
        self._counts = counts
        self._noted: date | None = None

    async def look(self) -> None:
        """Ask, unless that was done today (UTC). Raises SpoolUnavailableError, TimeoutError: the last count stands."""
        today = self._counts.today()
        if self._noted == today:
            return
        if not await self._counts.has_refusing():
            async with asyncio.timeout(_ASK_TIMEOUT):
                addresses = await self._relay.refusals(STREAM)
            if addresses is not None:
                await self._counts.note_refusing(addresses)
        self._noted = today
