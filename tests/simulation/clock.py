"""The clocks of a simulated machine: monotonic time is the loop's, wall time can be set wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from tests.simulation.loop import VirtualLoop

BEGIN: Final = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class VirtualClock:
    """Implements `relay.clock.Clock`; `offset` is how many seconds the wall clock is wrong."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.offset = 0.0

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self._loop.time() + self.offset)

    def monotonic(self) -> float:
        return self._loop.time()
