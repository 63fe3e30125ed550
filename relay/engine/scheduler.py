"""The scheduler: finds what is due and leases it for the dispatcher, as much as the window has room for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.engine.dispatcher import Dispatcher
from relay.engine.lease import Lease
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.state import State
from relay.spool.contract import Spool
from relay.spool.work import Settlement

_log = Log("scheduler")

POLL: Final = timedelta(seconds=1)
"""How late work of other processes (a command, another worker) is noticed at most."""

CLAIM_AT_ONCE: Final = 100
"""Deliveries leased in one transaction."""

STEP_BACK_SECONDS: Final = 5.0
"""The wall clock counts as set back when it lost more than this against the monotonic one between two looks."""

STRAYS_SECONDS: Final = 30.0
"""How often the spool is asked for leases of ours that we know nothing of."""

AFTER_OUTAGE_SECONDS: Final = 6.0
"""The same after the spool was away, when there may be many."""


class Scheduler:
    """Owns one task; `wake` makes it look now."""

    def __init__(
        self, spool: Spool, lease: Lease, dispatcher: Dispatcher, clock: Clock, waits: Sequence[timedelta]
    ) -> None:
        self._spool = spool
        self._lease = lease
        self._dispatcher = dispatcher
        self._clock = clock
        self._waits = waits
        self._lead: float | None = None
        self._mend = False
        self._wake = asyncio.Event()
        self._starved = False
        self._skipped: frozenset[str] = frozenset()
        self._strays: frozenset[tuple[int, int]] = frozenset()
        self._hasty = 0
        self._strays_due = clock.monotonic() + STRAYS_SECONDS
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin looking for work."""
        self._task = asyncio.create_task(self._run(), name="scheduler")

    def wake(self) -> None:
        """Look again now: something became due, or the window has room."""
        self._wake.set()

    def room_came(self) -> None:
        """The window or a line has room again; matters only if work was left waiting for it."""
        if self._starved or not self._skipped <= self._dispatcher.full_domains():
            self._wake.set()

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause = await self._look()
            except SpoolUnavailableError as error:
                _log.warning("claim-failed", error=error)
                pause = POLL
                # What looked like a stray before may be an accept that still asks for the fate of its commit.
                self._strays, self._hasty, self._strays_due = frozenset(), 2, float("-inf")
            except Exception:  # noqa: BLE001 - the scheduler must outlive whatever one look meets
                _log.exception("look-failed")
                pause = POLL
            if pause > timedelta():
                await self._sleep(pause)

    async def _sleep(self, pause: timedelta) -> None:
        try:
            async with asyncio.timeout(pause.total_seconds()):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _look(self) -> timedelta:
        """Claim what is due; returns how long nothing needs to be done."""
        await self._follow_clock()
        await self._give_strays_back()
        room = self._dispatcher.room
        self._starved = room <= 0
        if room <= 0 or not self._lease.holds():
            return POLL
        due = await self._spool.next_due()
        now = self._clock.now()
        if due is None or due > now:
            return POLL if due is None else min(POLL, due - now)
        self._skipped = self._dispatcher.full_domains()
        limit, scarce = min(room, CLAIM_AT_ONCE), self._dispatcher.scarce_domains()
        parcels = await self._spool.claim(self._lease.incarnation, limit, self._skipped, scarce)
        for parcel in parcels:
            self._dispatcher.take(parcel)
        return timedelta() if parcels else POLL

    async def _follow_clock(self) -> None:
        """Bring due times back if the wall clock was set back, while we run or while nobody did (R27)."""
        now = self._clock.now()
        lead = now.timestamp() - self._clock.monotonic()
        if self._lead is None:
            written = await self._spool.last_written()
            self._mend = written is not None and (written - now).total_seconds() > STEP_BACK_SECONDS
        elif self._lead - lead > STEP_BACK_SECONDS:
            self._mend = True
        self._lead = lead
        if self._mend:
            mended = await self._spool.mend_dues(self._waits)
            _log.warning("clock-went-back", mended=mended)
            self._mend = False

    async def _give_strays_back(self) -> None:
        """Return leases that the spool granted and nobody here got: a COMMIT that was reported failed was kept.

        No claim is under way here, and an accept is not for longer than one round: what is a stray in two rounds
        running is one.
        """
        if self._clock.monotonic() < self._strays_due:
            return
        leased = await self._spool.leased(self._lease.incarnation)
        strays = {(seq, n): due for seq, n, due in leased if not self._dispatcher.holds(seq, n)}
        twice = [Settlement(seq, n, State.WAITING, due) for (seq, n), due in strays.items() if (seq, n) in self._strays]
        if twice:
            _log.warning("strays-given-back", deliveries=len(twice))
            await self._spool.settle(self._lease.incarnation, twice)
        self._strays = frozenset(strays)
        self._hasty = max(0, self._hasty - 1)
        self._strays_due = self._clock.monotonic() + (AFTER_OUTAGE_SECONDS if self._hasty else STRAYS_SECONDS)
