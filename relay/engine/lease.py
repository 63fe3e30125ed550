"""The lease of this life: registers an incarnation, keeps its heartbeat, and says whether it still holds.

Every delivery in hand is held through this one lease. Before a final dot the holder asks `holds()`, which
compares the monotonic clock with the last heartbeat that the spool confirmed, with a margin: a worker that
was paused, cut off or replaced stops sending before another may begin.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.spool.contract import Spool
from relay.spool.life import Pulse, Terms
from relay.spool.work import Incarnation

_log = Log("lease")

BEATS: Final = 6
"""Heartbeats in the time of a lease."""

HOLDS: Final = 0.75
"""The part of its lease for which a holder believes itself after a heartbeat. The others wait for at least five sixths
of it (`relay.spool.silence`)."""

AGAIN_SECONDS: Final = 1.0
"""Until a heartbeat that the spool did not take is tried again, at most."""

LOOK_SECONDS: Final = 0.25
"""How long after another's lease ran out we look."""

RETIRE_SECONDS: Final = 2.0
"""How long a stopping worker tries to give back what it holds; its successor takes it anyway."""


def place(process: int = 0) -> str:
    """Where a life runs, for people: this machine and a process of it, our own unless told."""
    return f"{socket.gethostname()}, process {process or os.getpid()}"


class Lease:
    """One incarnation of this worker. `ended` is called once if others ended it."""

    def __init__(self, spool: Spool, clock: Clock, ended: Callable[[Pulse], None], terms: Terms = Terms()) -> None:  # noqa: B008
        self._spool = spool
        self._clock = clock
        self._ended = ended
        self._terms = terms
        self._seconds = terms.lease.total_seconds()
        self._incarnation: Incarnation | None = None
        self._confirmed = float("-inf")
        self._doubt = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def incarnation(self) -> Incarnation:
        """Our incarnation; only after `start`."""
        if self._incarnation is None:
            raise RuntimeError("the lease was not started")
        return self._incarnation

    def holds(self) -> bool:
        """Whether what we hold is still ours."""
        return self._clock.monotonic() - self._confirmed < self._seconds * HOLDS

    def doubt(self) -> None:
        """Some life was ended: find out now whether it was ours."""
        self._doubt.set()

    async def start(self, node: str, worker: int) -> None:
        """Register, which voids the leases of our predecessor, and begin the heartbeat."""
        begun = self._clock.monotonic()
        self._incarnation = await self._spool.register(node, worker, self._terms)
        self._confirmed = begun
        self._spool.on_ended(self.doubt)
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
        pause = self._seconds / BEATS
        while True:
            await self._rest(pause)
            begun = self._clock.monotonic()
            pulse = await self._say_alive()
            if pulse is None:
                pause = min(AGAIN_SECONDS, self._seconds / BEATS)
                continue
            if pulse.ending is not None:
                self._confirmed = float("-inf")
                _log.error(pulse.ending.value, incarnation=self.incarnation, by=pulse.by)
                self._ended(pulse)
                return
            self._confirmed = begun
            pause = self._seconds / BEATS
            if pulse.look_in is not None:
                pause = min(pause, pulse.look_in + LOOK_SECONDS)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._doubt.wait()
        except TimeoutError:
            pass
        self._doubt.clear()

    async def _say_alive(self) -> Pulse | None:
        """A heartbeat; None if the spool did not take it."""
        try:
            return await self._spool.heartbeat(self.incarnation)
        except SpoolUnavailableError as error:
            _log.warning("heartbeat-failed", error=error)
        except Exception:  # noqa: BLE001 - without its heartbeat a worker would take mail in and never send
            _log.exception("heartbeat-broken")
        return None
