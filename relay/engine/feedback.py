"""Feedback: has what came in from outside sorted, after it was committed and answered (step 11 of a message's path).

`relay.engine.sorter` reads an item and settles what follows; here it is seen to that every item comes to it. Whoever
dies in between leaves the item unsorted, and any worker's next sweep takes it up. What was left is a suspect: each life
notes on disk that it begins with it, and one that killed its readers `TRIES` times is put aside unread (R33). Owns one
task.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.engine.sorter import Sorter, SorterParts
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.alarms import AlarmKind
from relay.policy.hearing import Followed
from relay.spool.inbound_values import UNREAD, Consequence
from relay.wary_clock import WaryClock

_log = Log("feedback")

SWEEP_SECONDS: Final = 30.0
"""How often a worker looks for items that nobody sorted."""
ABANDONED: Final = timedelta(seconds=20)
"""Age from which another worker's item counts as abandoned."""
BATCH: Final = 100
TRIES: Final = 3
"""Readers that an item may take with it: the first was not noted, the others were."""
MAX_WAITING: Final = 5000
"""Numbers of new items held in memory; the sweep finds the others."""


class Feedback:
    """Sees to it that all is sorted, and forgotten after `keep`."""

    def __init__(self, parts: SorterParts, clock: Clock, keep: timedelta) -> None:
        self._store = parts.store
        self._spool = parts.spool
        self._clock = WaryClock.of(clock)
        self._keep = keep
        self._waiting: list[int] = []
        self._left: set[int] = set()
        """Items that somebody left unsorted, and that this life has not noted yet."""
        self._noted: set[int] = set()
        """Those that this life has noted, and that are not sorted yet."""
        self._sorter = Sorter(parts, settled=self._noted.discard)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what an earlier life left."""
        self._task = asyncio.create_task(self._run(), name="feedback")

    async def stop(self) -> None:
        """End the task; what is not sorted waits in the spool."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._sorter.stop()

    def came(self, numbers: list[int]) -> None:
        """These items were committed just now."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting += numbers
        self._wake.set()

    async def _run(self) -> None:
        more = await self._sweep(timedelta())
        swept = self._clock.monotonic()
        while True:
            if self._clock.monotonic() - swept >= SWEEP_SECONDS:
                swept = self._clock.monotonic()
                more = await self._sweep(ABANDONED)
                await self.forget()
            if self._waiting:
                # After a failure the next sweep is soon enough: the spool cannot be written just now.
                more = await self._sort_safely(self._waiting.pop(0)) and more
                continue
            if more:
                more = await self._sweep(timedelta())
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _sweep(self, age: timedelta) -> bool:
        """Take up items that nobody sorted; whether there may be more of them."""
        try:
            numbers = await self._store.unsorted(self._clock.now() - age, BATCH)
        except SpoolUnavailableError as error:
            _log.warning("sweep-failed", error=error)
            return False
        known = set(self._waiting)
        found = [one for one in numbers if one not in known and not self._sorter.is_judged(one)]
        self._waiting += found
        self._left.update(one for one in found if one not in self._noted)
        return len(numbers) == BATCH and bool(found)

    async def forget(self) -> None:
        """Delete a batch of what was sorted long ago, if the wall clock may be believed."""
        if self._clock.lead():
            return
        try:
            forgotten = await self._store.forget(self._clock.now() - self._keep, BATCH)
        except SpoolUnavailableError as error:
            _log.warning("forget-failed", error=error)
            return
        if forgotten:
            _log.info("forgotten", inbound=forgotten)

    async def _sort_safely(self, number: int) -> bool:
        """Sort an item; False if it cannot be now, and a later sweep finds it again."""
        try:
            if number in self._left and await self._is_poison(number):
                _log.error("sort-kills", inbound=number)
                await self._set_aside(number, f"{TRIES} workers died while they read it")
                self._noted.discard(number)
                return True
            if not await self._sorter.sort(number):
                return False
            if self._sorter.is_judged(number):
                self._noted.add(number)  # it was read in this life, however often it is found unsorted
            else:
                self._noted.discard(number)
        except SpoolUnavailableError as error:
            _log.warning("sort-failed", inbound=number, error=error)
            return False
        except Exception:  # noqa: BLE001 - one mail that breaks the reader must not stop all others
            _log.exception("sort-broken", inbound=number)
            await self._set_aside(number, "it could not be read; the log says more")
        return True

    async def _is_poison(self, number: int) -> bool:
        """Note once a life that reading begins, before it does; whether so many lives ended with it."""
        begun = await self._store.begin(number)
        self._left.discard(number)
        self._noted.add(number)
        return begun >= TRIES

    async def _set_aside(self, number: int, why: str) -> None:
        try:
            if await self._store.settle(number, Consequence(UNREAD, Followed.SHOWN, {"why": why}, shown=True)):
                said = f"mail {number} came in and was put aside unread: {why}"
                await self._spool.raise_alarm(AlarmKind.INBOUND_UNREAD.value, "inbound", said)
        except SpoolUnavailableError as error:
            _log.warning("sort-failed", inbound=number, error=error)
