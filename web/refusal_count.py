"""How many addresses get no letters because their owners said so: for /transparency (RCP 12). Asked of the relay.

Beside the courier's rounds, so that no page waits for it and no visitor makes the relay count; and once a day, since a
count that follows every refusal would tell a writer of theirs.
"""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Final

from relay.client.contract import RelayClient
from relay.clock import Clock
from web.letters import STREAM

_ASK_TIMEOUT: Final = 10.0


class RefusalCount:
    """The last count; None as long as nobody told one."""

    def __init__(self, relay: RelayClient, clock: Clock) -> None:
        self._relay = relay
        self._clock = clock
        self._asked: date | None = None
        self.addresses: int | None = None

    async def look(self) -> None:
        """Ask, unless that was done today (UTC). Raises SpoolUnavailableError, TimeoutError: the last count stands."""
        today = self._clock.now().date()
        if self._asked == today:
            return
        async with asyncio.timeout(_ASK_TIMEOUT):
            self.addresses = await self._relay.refusals(STREAM)
        self._asked = today
