"""A site's line: the parcels that wait for sessions to one set of exchangers, and how many sessions it may have.

Pure bookkeeping: the dispatcher asks, this answers; all I/O happens there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime

from relay.policy.pace import Pace, starting_pace
from relay.policy.route import Plan
from relay.spool.contract import Parcel


class SiteLine:
    """The line of one site."""

    def __init__(self, site: str, limit: int) -> None:
        self.site = site
        self.plan: Plan | None = None
        self.pace: Pace = starting_pace(limit)
        self.suspended_until: datetime | None = None
        self.failures = 0
        self._parcels: deque[Parcel] = deque()
        self._arrived = asyncio.Event()
        self.sessions = 0
        self.idle = 0

    def __repr__(self) -> str:
        return (
            f"<SiteLine {self.site} waiting={len(self._parcels)} sessions={self.sessions} idle={self.idle}"
            f" window={self.pace.window}/{self.pace.limit} suspended={self.suspended_until}>"
        )

    @property
    def waiting(self) -> int:
        """Parcels in line."""
        return len(self._parcels)

    @property
    def empty(self) -> bool:
        """Whether nothing waits and nobody serves: the line may be dropped."""
        return not self._parcels and self.sessions == 0

    def join(self, parcel: Parcel) -> bool:
        """Stand in line; True if another session should be opened for it."""
        self._parcels.append(parcel)
        if self.idle:
            self._arrived.set()
        return self.wants_session()

    def wants_session(self) -> bool:
        """Whether more parcels wait than idle sessions can take, and the pace allows another session."""
        return len(self._parcels) > self.idle and self.sessions < self.pace.window

    def pop(self) -> Parcel | None:
        """The next parcel, None if none waits."""
        return self._parcels.popleft() if self._parcels else None

    def drain(self) -> list[Parcel]:
        """Everybody in line, who is then no longer."""
        parcels = list(self._parcels)
        self._parcels.clear()
        return parcels

    async def next(self, patience: float) -> Parcel | None:
        """The next parcel, waiting up to `patience` seconds for one to arrive."""
        if self._parcels:
            return self._parcels.popleft()
        self.idle += 1
        try:
            self._arrived.clear()
            async with asyncio.timeout(patience):
                while not self._parcels:
                    await self._arrived.wait()
                    self._arrived.clear()
            return self._parcels.popleft()
        except TimeoutError:
            return None
        finally:
            self.idle -= 1
