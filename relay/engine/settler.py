"""The settler: collects settlements and commits them together; a session never waits for it.

Settlements that the spool cannot take now are kept and tried again: until they are committed, the deliveries
stay leased and in the window, so their number is bounded and nothing is sent twice while we live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from relay.engine.lease import Lease
from relay.errors import SpoolUnavailableError
from relay.event import EventKind
from relay.log import Log
from relay.policy.state import State
from relay.spool.contract import Spool
from relay.spool.work import Settlement

_log = Log("settler")

MAX_TOGETHER: Final = 200
RETRY_SECONDS: Final = 1.0


class Settler:
    """Owns one task. `settled` is told how many deliveries left the window."""

    def __init__(self, spool: Spool, lease: Lease, settled: Callable[[Sequence[Settlement]], None]) -> None:
        self._spool = spool
        self._lease = lease
        self._settled = settled
        self._waiting: list[Settlement] = []
        self._committing = 0
        self._added = 0
        self._written = 0
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._keeps_up = asyncio.Event()
        self._keeps_up.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin settling."""
        self._task = asyncio.create_task(self._run(), name="settler")

    def add(self, settlement: Settlement) -> None:
        """Settle soon. Bounded by the window: only what is leased can be settled."""
        self._waiting.append(settlement)
        self._added += 1
        self._idle.clear()
        self._wake.set()

    async def written(self) -> None:
        """Wait until everything added so far is committed: settlements are committed in their order."""
        if self._written < self._added:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append((self._added, waiter))
            await waiter

    async def keeps_up(self) -> None:
        """Wait while settlements cannot be written: what is sent meanwhile would be sent again after a crash."""
        await self._keeps_up.wait()

    async def flush(self, seconds: float) -> bool:
        """Wait up to `seconds` until everything added so far is committed; whether it was.

        What is not by then is lost with this life, as by a crash (docs/spool.md, step 9): a spool that cannot be
        written must not keep the worker from ending.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            _log.error("not-settled", deliveries=len(self._waiting) + self._committing)
            return False
        return True

    async def stop(self) -> None:
        """End the task; call `flush` first."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                batch = self._waiting[:MAX_TOGETHER]
                del self._waiting[: len(batch)]
                self._committing = len(batch)
                await self._commit(batch)
                self._committing = 0
                self._written += len(batch)
                self._wake_waiters()
            self._keeps_up.set()
            self._idle.set()

    def _wake_waiters(self) -> None:
        while self._waiters and self._waiters[0][0] <= self._written:
            waiter = self._waiters.pop(0)[1]
            if not waiter.done():
                waiter.set_result(None)

    async def _commit(self, batch: list[Settlement]) -> None:
        while True:
            try:
                await self._spool.settle(self._lease.incarnation, batch)
            except SpoolUnavailableError as error:
                self._keeps_up.clear()
                _log.warning("settle-failed", deliveries=len(batch), error=error)
                batch = self._to_repeat(batch)
                if not batch:
                    return
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # noqa: BLE001 - one bad settlement must not stop all others
                _log.exception("settle-broken", deliveries=len(batch))
                await self._commit_singly(batch)
                return
            else:
                self._keeps_up.set()
                self._settled(batch)
                return

    def _to_repeat(self, batch: list[Settlement]) -> list[Settlement]:
        """All but the leases that were to go back unused.

        Their COMMIT may have been kept, and the delivery claimed again: a repetition would end that lease. If it
        was not kept, the scheduler finds them as strays.
        """
        unused = [one for one in batch if one.attempt is None and one.state is State.WAITING]
        if unused:
            self._settled(unused)
        return [one for one in batch if one.attempt is not None or one.state is not State.WAITING]

    async def _commit_singly(self, batch: list[Settlement]) -> None:
        """Find the broken settlement. What cannot be written as it is holds its delivery, for a person to look at."""
        if len(batch) > 1:
            for settlement in batch:
                await self._commit([settlement])
        elif batch[0].event is not EventKind.HELD:
            detail = {"reason": f"its result could not be stored: {batch[0].state.label}"}
            held = Settlement(batch[0].seq, batch[0].n, State.HELD, event=EventKind.HELD, detail=detail)
            await self._commit([held])
        # A delivery that cannot even be held stays leased and counted: the next life of this worker tries it again.
