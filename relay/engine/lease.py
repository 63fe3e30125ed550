"""The lease of this life: registers an incarnation, keeps its heartbeat, and says whether it still holds.

Every delivery in hand is held through this one lease. Before a final dot the holder asks `holds()`, which
compares the monotonic clock with the last heartbeat that the spool confirmed, with a margin: a worker that
was paused, cut off or replaced stops sending before another may begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.spool.contract import Incarnation, Spool

_log = Log("lease")

HEARTBEAT_SECONDS: Final = 10.0
HOLDS_SECONDS: Final = 45.0
"""Less than the silence after which others take over (`relay.spool.portable.VANISHED_SECONDS`, 60 s)."""

RETIRE_SECONDS: Final = 2.0
"""How long a stopping worker tries to give back what it holds; its successor takes it anyway."""


class Lease:
    """One incarnation of this worker. `replaced` is called once if a newer one took its place."""

    def __init__(self, spool: Spool, clock: Clock, replaced: Callable[[], None]) -> None:
        self._spool = spool
        self._clock = clock
        self._replaced = replaced
        self._incarnation: Incarnation | None = None
        self._confirmed = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def incarnation(self) -> Incarnation:
        """Our incarnation; only after `start`."""
        if self._incarnation is None:
            raise RuntimeError("the lease was not started")
        return self._incarnation

    def holds(self) -> bool:
        """Whether what we hold is still ours."""
        return self._clock.monotonic() - self._confirmed < HOLDS_SECONDS

    async def start(self, node: str, worker: int) -> None:
        """Register, which voids the leases of our predecessor, and begin the heartbeat."""
        begun = self._clock.monotonic()
        self._incarnation = await self._spool.register(node, worker)
        self._confirmed = begun
        self._task = asyncio.create_task(self._beat(), name="lease-heartbeat")

    async def stop(self) -> None:
        """End the heartbeat and this life: what was leased and never reached us goes back too."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._confirmed = float("-inf")
        try:
            async with asyncio.timeout(RETIRE_SECONDS):
                await self._spool.retire(self.incarnation)
        except (SpoolUnavailableError, TimeoutError) as error:
            _log.warning("not-retired", error=repr(error))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            begun = self._clock.monotonic()
            try:
                alive = await self._spool.heartbeat(self.incarnation)
            except SpoolUnavailableError as error:
                _log.warning("heartbeat-failed", error=error)
                continue
            except Exception:  # noqa: BLE001 - without its heartbeat a worker would take mail in and never send
                _log.exception("heartbeat-broken")
                continue
            if not alive:
                self._confirmed = float("-inf")
                _log.error("replaced", incarnation=self.incarnation)
                self._replaced()
                return
            self._confirmed = begun
