"""Reads of SQLite: one thread with a read-only connection of its own, which answers what waits together.

Whatever is asked while it reads is read next, in one snapshot and with one answer to the loop: a thread's turn costs
more than most questions. No timer; an idle relay's question is read at once, and what a caller wrote and saw committed
before asking is in what they read. A question that raises fails alone; one that met a broken file also lets the
connection go.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Protocol, TypeVar, cast

import apsw

from relay.database.contract import Connection
from relay.errors import LeakError, SpoolUnavailableError
from relay.log import Log

T = TypeVar("T")

_log = Log("database")

MOST_TOGETHER: Final = 16
"""Questions of one snapshot: bounds how long the first waits for the last."""


@dataclass(slots=True, eq=False)
class _Question:
    work: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    answer: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """The answer to who asked, unless they have left; on their loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.answer)
        else:
            self.future.set_exception(self.error)


class ReadOpener(Protocol):
    """What a reader needs of the file."""

    def open_reader(self) -> apsw.Connection:
        """A fresh read-only connection."""
        ...

    def translate(self, error: BaseException) -> LeakError | None:
        """The error of ours that a database's error means, None if it is none of the database's."""
        ...


class SqliteReader(ABC):
    """Reads in the order of asking; its connection is opened when it is first needed. A subclass says who reads."""

    def __init__(self, opener: ReadOpener) -> None:
        self._opener = opener
        self._connection: apsw.Connection | None = None
        self._lock = threading.Lock()
        self._waiting: list[_Question] = []
        self._reading = False
        self._closing = False

    async def run(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one snapshot, after what was asked before."""
        loop = asyncio.get_running_loop()
        question = _Question(work, loop.create_future(), loop)
        with self._lock:
            if self._closing:
                raise SpoolUnavailableError("the spool is closing")
            self._waiting.append(question)
            begins = not self._reading
            self._reading = True
        if begins:
            self._begin()
        return cast("T", await question.future)

    @abstractmethod
    def _begin(self) -> None:
        """A question waits, and nobody reads: have `_read_all` called."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of the connection once what was asked is answered."""

    def _read_all(self) -> None:
        while questions := self._next():
            try:
                for question in questions:
                    self._read(question)
            finally:
                self._end_snapshot()
                self._tell(questions)

    def _next(self) -> list[_Question]:
        """What to read together; nothing if nobody waits, and then the next question has to wake us."""
        with self._lock:
            questions = self._waiting[:MOST_TOGETHER]
            del self._waiting[: len(questions)]
            self._reading = bool(questions)
        return questions

    def _read(self, question: _Question) -> None:
        if question.future.cancelled():
            return
        try:
            if self._connection is None:
                self._connection = self._opener.open_reader()
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN")
            question.answer = question.work(cast("Connection", self._connection))
        except apsw.Error as error:
            question.error = self._opener.translate(error)
            if question.error is None:
                question.error = error
            else:
                self.let_go()
        except BaseException as error:  # noqa: BLE001 - whoever asked must get an answer, whatever broke
            question.error = error

    def _end_snapshot(self) -> None:
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("COMMIT")
        except apsw.Error as error:
            _log.warning("snapshot-not-ended", error=error)
            self.let_go()

    def _tell(self, questions: list[_Question]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[_Question]] = {}
        for question in questions:
            by_loop.setdefault(question.loop, []).append(question)
        for loop, asked in by_loop.items():
            try:
                loop.call_soon_threadsafe(_tell_all, asked)
            except RuntimeError:
                _log.warning("answer-without-loop", questions=len(asked))

    def let_go(self) -> None:
        """Close the connection; after a disk failed, that too may fail, and stopping goes on."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close(True)
        except apsw.Error as error:
            _log.warning("close-failed", error=error)


class SqliteReaderThread(SqliteReader):
    """Reads in a thread of its own, which begins at the first question.

    Not in an executor: its future, and the second call of the loop that tells of it, cost as much as most questions.
    """

    def __init__(self, opener: ReadOpener, name: str) -> None:
        super().__init__(opener)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._turns: SimpleQueue[bool] = SimpleQueue()
        """True: read; False: nobody asks any more."""

    def _begin(self) -> None:
        if self._thread.ident is None:
            self._thread.start()
        self._turns.put(True)

    def _run(self) -> None:
        while self._turns.get():
            self._read_all()
        self.let_go()

    async def close(self) -> None:
        """End the thread once what was asked is answered."""
        with self._lock:
            self._closing = True
        self._turns.put(False)
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)


def _tell_all(questions: list[_Question]) -> None:
    for question in questions:
        question.tell()
