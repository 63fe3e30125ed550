"""Suspects: mail that was in hand when a worker died is handled one message at a time, so that the cause shows itself.

Beside the sessions: a suspect has its own session, and no other suspect is handled meanwhile; other mail goes on (R33).
"""

from __future__ import annotations

from asyncio import Lock
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.engine.custody import Custody
from relay.engine.line import SiteLine, Standing
from relay.engine.sessions import Sessions
from relay.engine.site import SiteLines

MAX_ALONE: Final = 50
"""Suspects in hand that wait to be handled alone; more go back for a while, so that the window has room for others."""

ALONE_PAUSE: Final = timedelta(minutes=1)


class Suspects:
    """The suspects in hand."""

    def __init__(self, custody: Custody, sessions: Sessions, lines: SiteLines, clock: Clock) -> None:
        self._custody = custody
        self._sessions = sessions
        self._lines = lines
        self._clock = clock
        self._alone = Lock()
        self._waiting = 0

    def handle(self, line: SiteLine, standing: Standing) -> None:
        """Have it delivered when its turn comes."""
        if self._waiting >= MAX_ALONE:
            self._custody.assessor.wait_for_site(standing.parcel, self._clock.now() + ALONE_PAUSE)
            return
        self._waiting += 1
        self._custody.tasks.start(self._serve(line, standing), f"alone-{standing.parcel.id}")

    async def _serve(self, line: SiteLine, standing: Standing) -> None:
        try:
            async with self._alone:
                if self._custody.draining:
                    self._custody.give_back(standing.parcel)
                    return
                await self._sessions.deliver_alone(line, standing)
                # Until its verdict is on disk, the next suspect's death would count as this one's too.
                await self._custody.assessor.written()
        finally:
            self._waiting -= 1
            self._lines.drop_if_empty(line)
