"""How many addresses get no letters because their owners said so: for /transparency (RCP 12). Asked of the relay.

Beside the courier's rounds, so that no page waits for it and no visitor makes the relay count.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from relay.client.contract import RelayClient
from relay.clock import Clock
from web.letters import STREAM

ASK_EVERY: Final = timedelta(minutes=10)
_ASK_TIMEOUT: Final = 10.0


class RefusalCount:
    """The last count; None as long as nobody told one."""

    def __init__(self, relay: RelayClient, clock: Clock) -> None:
        self._relay = relay
        self._clock = clock
        self._next = clock.monotonic()
        self.addresses: int | None = None

    async def look(self) -> None:
        """Ask, unless that was done lately. Raises SpoolUnavailableError, TimeoutError: the last count stands."""
        if self._clock.monotonic() < self._next:
            return
        async with asyncio.timeout(_ASK_TIMEOUT):
            self.addresses = await self._relay.refusals(STREAM)
        self._next = self._clock.monotonic() + ASK_EVERY.total_seconds()
