"""The janitor: what time alone brings about.

It forgets content whose time is over, and large bodies that were never accepted, in small batches, so that no
transaction grows long, and content only while the wall clock may be believed; it ends the windows in which requests of
the queue could be undone, and follows the alarms that the spool or others raised and ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.engine.alarms import Alarms
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.spool.contract import Spool
from relay.wary_clock import WaryClock

_log = Log("janitor")

ROUND_SECONDS: Final = 60.0
REQUESTS_SECONDS: Final = 1.0
BATCH: Final = 200
ORPHANS: Final = 1000
"""Transactions of one round that remove large bodies."""
PIECES: Final = 16
"""Pieces of a large body that nobody accepted, deleted in one transaction."""


class Janitor:
    """Owns one task."""

    def __init__(
        self, spool: Spool, clock: Clock, keep_content: timedelta, alarms: Alarms, released: Callable[[], None]
    ) -> None:
        self._spool = spool
        self._alarms = alarms
        self._clock = WaryClock.of(clock)
        self._keep_content = keep_content
        self._released = released
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin the rounds."""
        self._task = asyncio.create_task(self._run(), name="janitor")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        next_round = self._clock.monotonic()
        while True:
            try:
                if await self._spool.finish_requests():
                    self._released()
                if self._clock.monotonic() >= next_round and await self.round() < BATCH:
                    await self._alarms.refresh()
                    next_round = self._clock.monotonic() + ROUND_SECONDS
            except SpoolUnavailableError as error:
                _log.warning("round-failed", error=error)
            except Exception:  # noqa: BLE001 - content must be forgotten in time, whatever one round met
                _log.exception("round-broken")
            await asyncio.sleep(REQUESTS_SECONDS)

    async def round(self) -> int:
        """One batch; the number of messages whose content was deleted."""
        orphans = 0
        while orphans < ORPHANS and await self._spool.remove_orphan(PIECES):
            orphans += 1
        if self._clock.lead():
            return 0
        forgotten = await self._spool.forget(self._clock.now() - self._keep_content, BATCH)
        if forgotten:
            _log.info("forgotten", messages=forgotten)
        return forgotten
