"""Group commit: one thread that runs units of work in shared transactions.

Whatever arrives while one commit is being fsynced goes into the next. There is no timer: an idle relay
answers in one fsync. A unit that raises is undone alone (its savepoint); a commit that fails is reported to
every unit in it, and the connection is thrown away, for an fsync that failed once must never be believed
later (R03). Between processes a blocking file lock is taken before BEGIN: SQLite's busy handler sleeps, and
its sleeps make tails of a second.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import perf_counter
from typing import Any, Final, Protocol

from relay import metrics
from relay.database.contract import Connection
from relay.errors import LeakError, SpoolUnavailableError
from relay.log import Log

_log = Log("database")

MAX_BATCH: Final = 256
"""Units in one transaction: bounds how long the first waits for the last."""

MAX_WAITING: Final = 20_000
"""Units that may wait; more are refused, for full means "4xx, later"."""


class _Fate(Enum):
    WAITING = 0
    TAKEN = 1
    LEFT = 2


@dataclass(slots=True, eq=False)
class _Unit:
    work: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    fate: _Fate = _Fate.WAITING
    result: Any = None
    error: BaseException | None = None


class TransactionalConnection(Connection, Protocol):
    """A connection the writer may open and close transactions on."""

    def close(self, force: bool = False) -> None:
        """Let go of the file; `force` also when that meets an error, which a broken disk may give for ever."""
        ...


class Opener(Protocol):
    """What the writer needs of a dialect."""

    def open(self) -> TransactionalConnection:
        """A fresh connection."""
        ...

    def lock(self) -> None:
        """Wait for the right to begin a write transaction."""
        ...

    def unlock(self) -> None:
        """Give it back."""
        ...

    def translate(self, error: BaseException) -> LeakError | None:
        """The error of ours that a database's error means, None if it is none of the database's."""
        ...


class GroupCommit(ABC):
    """Owns the write connection and the units that wait for it; a subclass says who commits them, and when."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._waiting: deque[_Unit] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._connection: TransactionalConnection | None = None
        self.failure: LeakError | None = None
        """Why the last transaction failed; None since one was committed."""

    async def run(self, work: Callable[[Connection], Any], patience: float | None = None) -> Any:
        """Run `work` in the next transaction; returns its result once that is committed.

        After `patience` seconds, or when the caller is cancelled, a unit that no transaction has taken yet
        leaves the queue (SpoolUnavailableError, CancelledError); one that was taken is answered by its commit.
        """
        unit = self._enqueue(work)
        # A bare timer: asyncio.wait or asyncio.timeout would cost a tenth of what writing a message costs.
        timer = None if patience is None else unit.loop.call_later(patience, self._lose_patience, unit, patience)
        try:
            return await unit.future
        except asyncio.CancelledError:
            if not self._leave(unit):
                _log.info("cancelled-in-commit")
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _lose_patience(self, unit: _Unit, patience: float) -> None:
        if not unit.future.done() and self._leave(unit):
            unit.future.set_exception(SpoolUnavailableError(f"the spool did not begin the work within {patience} s"))

    def _enqueue(self, work: Callable[[Connection], Any]) -> _Unit:
        loop = asyncio.get_running_loop()
        unit = _Unit(work, loop.create_future(), loop)
        with self._wake:
            if self._closing:
                raise SpoolUnavailableError("the spool is closing")
            if len(self._waiting) >= MAX_WAITING:
                raise SpoolUnavailableError("too many units of work wait for the spool")
            self._waiting.append(unit)
            self._arrived()
        return unit

    @abstractmethod
    def _arrived(self) -> None:
        """A unit waits; called with the lock held."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what waits, then let go of the connection."""

    def _leave(self, unit: _Unit) -> bool:
        """Take a unit out of the queue; False when a transaction has it already."""
        with self._wake:
            if unit.fate is _Fate.WAITING:
                unit.fate = _Fate.LEFT
            return unit.fate is _Fate.LEFT

    def _commit_waiting(self) -> None:
        """One transaction of what waits, and the answers to its waiters."""
        batch: list[_Unit] = []
        begun = perf_counter()
        try:
            self._transact(batch)
        except BaseException as error:  # noqa: BLE001 - every waiter must get an answer, whatever broke
            self._fail(batch, error)
        else:
            self.failure = None if batch else self.failure
        if batch:
            metrics.commits.inc()
            metrics.commit_items.inc(len(batch))
            metrics.commit_seconds.observe(perf_counter() - begun)
            self._answer(batch)

    def _transact(self, batch: list[_Unit]) -> None:
        """One transaction; units that arrive while it is open join it, up to the cap."""
        self._opener.lock()
        try:
            if self._connection is None:
                self._connection = self._opener.open()
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            while unit := self._next(batch):
                self._perform(connection, unit)
            connection.execute("COMMIT")
        except BaseException:
            # A connection whose transaction failed is suspect: the next one starts from a fresh one. When
            # nothing could even begin, whoever waits is told now instead of after another try each.
            if not batch:
                self._take_waiting(batch)
            self._drop_connection()
            raise
        finally:
            self._opener.unlock()

    def _next(self, batch: list[_Unit]) -> _Unit | None:
        if len(batch) >= MAX_BATCH:
            return None
        with self._wake:
            while self._waiting:
                unit = self._waiting.popleft()
                if unit.fate is _Fate.WAITING:
                    unit.fate = _Fate.TAKEN
                    batch.append(unit)
                    return unit
        return None

    def _take_waiting(self, batch: list[_Unit]) -> None:
        while self._next(batch):
            pass

    def _perform(self, connection: Connection, unit: _Unit) -> None:
        connection.execute("SAVEPOINT unit")
        try:
            unit.result = unit.work(connection)
        except BaseException as error:
            translated = self._opener.translate(error)
            if translated is not None:
                raise
            unit.error = error
            connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")

    def _fail(self, batch: list[_Unit], error: BaseException) -> None:
        translated = self._opener.translate(error) or SpoolUnavailableError(f"the spool failed: {error!r}")
        _log.error("commit-failed", units=len(batch), error=repr(error))
        self.failure = translated
        for unit in batch:
            unit.error = translated

    def _answer(self, batch: list[_Unit]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Unit]] = {}
        for unit in batch:
            by_loop.setdefault(unit.loop, []).append(unit)
        for loop, units in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, units)
            except RuntimeError:
                _log.warning("answer-without-loop", units=len(units))

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close(True)
            except Exception as error:  # noqa: BLE001 - it is being thrown away because it is broken
                _log.warning("close-failed", error=repr(error))


class GroupCommitWriter(GroupCommit):
    """Runs the transactions in a thread of its own, one after the other while anything waits."""

    def __init__(self, opener: Opener) -> None:
        super().__init__(opener)
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def _arrived(self) -> None:
        self._wake.notify()

    async def close(self) -> None:
        """Finish what waits, then end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._waiting:
                    break
            self._commit_waiting()
        self._drop_connection()


def _resolve(units: list[_Unit]) -> None:
    for unit in units:
        if unit.future.done():  # cancelled with its waiter
            continue
        if unit.error is not None:
            unit.future.set_exception(unit.error)
        else:
            unit.future.set_result(unit.result)
