"""Group commit on the event loop: requests of one moment share one transaction.

Whatever arrives while one transaction is under way goes into the next; there is no timer, so an idle relay
answers in one round. When a transaction fails because of what is in it, its requests are tried one by one,
so that a bad one fails alone; when the database is away, all of them are told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, Generic, TypeVar

from relay import metrics
from relay.errors import LeakError, SpoolUnavailableError
from relay.log import Log

_log = Log("database")

Q = TypeVar("Q")
R = TypeVar("R")

MAX_BATCH: Final = 256
"""Requests in one transaction: bounds how long the first waits for the last."""

MAX_WEIGHT: Final = 16_000_000
"""Octets in one transaction, unless a single request is larger."""

MAX_WAITING: Final = 20_000
"""Requests that may wait; more are refused, for full means "4xx, later"."""


@dataclass(slots=True, eq=False)
class _Entry(Generic[Q, R]):
    request: Q
    weight: int
    future: asyncio.Future[R]
    taken: bool = False


class CommitGroup(Generic[Q, R]):
    """Collects requests for `perform`, which runs them in one transaction and answers each, in order.

    An answer that is an exception is raised to the one who asked; an exception raised by `perform` means that
    nothing was committed. `perform` is never called twice at the same time.
    """

    def __init__(self, perform: Callable[[Sequence[Q]], Awaitable[Sequence[R | Exception]]]) -> None:
        self._perform = perform
        self._waiting: deque[_Entry[Q, R]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, request: Q, weight: int, patience: float | None = None) -> R:
        """The answer to `request`, committed; `weight` in octets.

        After `patience` seconds, or when the caller is cancelled, a request that no transaction has taken yet
        leaves the queue (SpoolUnavailableError, CancelledError); one that was taken is answered by its commit.
        """
        entry = self._enqueue(request, weight)
        loop = asyncio.get_running_loop()
        timer = None if patience is None else loop.call_later(patience, _lose_patience, entry, patience)
        try:
            return await entry.future
        finally:
            if timer is not None:
                timer.cancel()
            if not entry.taken and entry in self._waiting:
                self._waiting.remove(entry)

    def _enqueue(self, request: Q, weight: int) -> _Entry[Q, R]:
        if self._closed:
            raise SpoolUnavailableError("the spool is closing")
        if len(self._waiting) >= MAX_WAITING:
            raise SpoolUnavailableError("too many units of work wait for the spool")
        entry: _Entry[Q, R] = _Entry(request, weight, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        if self._task is None:
            self._task = asyncio.create_task(self._drain(), name="commit-group")
        return entry

    async def close(self) -> None:
        """Finish what waits; nothing more is taken."""
        self._closed = True
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._commit(self._take())
        finally:
            self._task = None

    def _take(self) -> list[_Entry[Q, R]]:
        batch: list[_Entry[Q, R]] = []
        weight = 0
        while self._waiting and len(batch) < MAX_BATCH:
            weight += self._waiting[0].weight
            if batch and weight > MAX_WEIGHT:
                break
            entry = self._waiting.popleft()
            entry.taken = True
            batch.append(entry)
        return batch

    async def _commit(self, batch: list[_Entry[Q, R]]) -> None:
        begun = perf_counter()
        try:
            answers = await self._perform([entry.request for entry in batch])
        except Exception as error:  # noqa: BLE001 - every waiter must get an answer, whatever broke
            await self._explain(batch, error)
            return
        metrics.commits.inc()
        metrics.commit_items.inc(len(batch))
        metrics.commit_seconds.observe(perf_counter() - begun)
        for entry, answer in zip(batch, answers, strict=True):
            _answer(entry, answer)

    async def _explain(self, batch: list[_Entry[Q, R]], error: Exception) -> None:
        """Nothing was committed: tell all when the database is away, else find the one to blame."""
        _log.error("commit-failed", units=len(batch), error=repr(error))
        if isinstance(error, LeakError) or len(batch) == 1:
            for entry in batch:
                _answer(entry, error)
            return
        for entry in batch:
            await self._commit([entry])


def _lose_patience(entry: _Entry[Q, R], patience: float) -> None:
    if not entry.taken and not entry.future.done():
        entry.future.set_exception(SpoolUnavailableError(f"the spool did not begin the work within {patience} s"))


def _answer(entry: _Entry[Q, R], answer: R | Exception) -> None:
    if entry.future.done():
        return
    if isinstance(answer, Exception):
        entry.future.set_exception(answer)
    else:
        entry.future.set_result(answer)
