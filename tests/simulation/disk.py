"""The disk under the spool: commits that take time, fail, fill up, or end without saying how.

The transactions are the real ones: `relay.database.group_commit` on a real SQLite file. Only who runs them (the
loop, not a thread) and what the COMMIT answers is simulated here. A commit "unknown" is on disk and reported failed;
the two crashes end the process right before and right after the COMMIT, before anybody was answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, Self, TypeVar

import apsw

from relay.database.contract import Connection
from relay.database.group_commit import GroupCommit, Opener, TransactionalConnection
from relay.database.reader import ReadOpener, SqliteReader
from relay.database.sqlite import SqliteDatabase
from relay.errors import LeakError, SpoolUnavailableError
from tests.simulation.loop import Life

T = TypeVar("T")


class Fate(Enum):
    """What becomes of one COMMIT."""

    DONE = "done"
    FAILS = "fails"
    FULL = "full"
    UNKNOWN = "unknown"
    CRASH_BEFORE = "crash-before"
    CRASH_AFTER = "crash-after"


@dataclass(slots=True)
class DiskTrouble:
    """Chances that a commit or a read goes wrong; seconds a commit takes at most."""

    fails: float = 0.0
    full: float = 0.0
    unknown: float = 0.0
    crash: float = 0.0
    read: float = 0.0
    seconds: float = 0.004


@dataclass(eq=False)
class Disk:
    """The disk of one machine. `committed` is called after each commit, `crash` to end a life in one."""

    random: Random
    trouble: DiskTrouble
    committed: Callable[[], None]
    crash: Callable[[Life], None]

    def seconds(self) -> float:
        """How long the next commit takes."""
        return 0.0002 + self.trouble.seconds * self.random.random() ** 4

    def fate(self) -> Fate:
        """What the next commit meets."""
        trouble = self.trouble
        chance = self.random.random()
        for fate, share in (
            (Fate.FAILS, trouble.fails),
            (Fate.FULL, trouble.full),
            (Fate.UNKNOWN, trouble.unknown),
            (Fate.CRASH_BEFORE, trouble.crash / 2),
            (Fate.CRASH_AFTER, trouble.crash / 2),
        ):
            if chance < share:
                return fate
            chance -= share
        return Fate.DONE

    def read_fails(self) -> bool:
        """Whether the next read meets an error."""
        return self.trouble.read > 0 and self.random.random() < self.trouble.read


class TroubledConnection:
    """A connection whose COMMIT meets its fate."""

    def __init__(self, connection: TransactionalConnection, disk: Disk, life: Life) -> None:
        self._connection = connection
        self._disk = disk
        self._life = life
        self.executemany = connection.executemany
        self.last_insert_rowid = connection.last_insert_rowid
        self.changes = connection.changes
        self.close = connection.close

    def execute(self, sql: str, bindings: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        if sql != "COMMIT":
            return self._connection.execute(sql, bindings)
        fate = self._disk.fate()
        if fate is Fate.FULL:
            raise apsw.FullError("simulated: database or disk is full")
        if fate is Fate.CRASH_BEFORE:
            self._disk.crash(self._life)
        if fate in (Fate.FAILS, Fate.CRASH_BEFORE):
            raise apsw.IOError("simulated: disk I/O error")
        rows = self._connection.execute(sql)
        if fate is Fate.CRASH_AFTER:
            self._disk.crash(self._life)
        if fate in (Fate.UNKNOWN, Fate.CRASH_AFTER):
            raise apsw.IOError("simulated: disk I/O error after the commit")
        return rows


@dataclass(slots=True)
class TroubledOpener:
    """The dialect's opener, whose connections are troubled."""

    opener: Opener
    disk: Disk
    life: Life

    def open(self) -> TransactionalConnection:
        return TroubledConnection(self.opener.open(), self.disk, self.life)

    def lock(self) -> None:
        self.opener.lock()

    def unlock(self) -> None:
        self.opener.unlock()

    def translate(self, error: BaseException) -> LeakError | None:
        return self.opener.translate(error)


class LoopWriter(GroupCommit):
    """Runs the transactions on the loop: a commit ends when its time is over, with all that arrived meanwhile."""

    def __init__(self, opener: Opener, disk: Disk, life: Life) -> None:
        super().__init__(TroubledOpener(opener, disk, life))
        self._disk = disk
        self._life = life
        self._under_way = False

    def _arrived(self) -> None:
        if not self._under_way:
            self._under_way = True
            asyncio.get_running_loop().call_later(self._disk.seconds(), self._commit)

    def _commit(self) -> None:
        self._under_way = False
        if not self._life.alive:
            return
        self._commit_waiting()
        self._disk.committed()
        if self._waiting and self._life.alive:
            self._arrived()

    async def close(self) -> None:
        """Finish what waits, then let go of the connection."""
        self._closing = True
        while self._waiting and self._life.alive:
            self._commit()
        self._drop_connection()

    def abandon(self) -> None:
        """Let go of the file as the end of a process does: an open transaction is rolled back."""
        self._drop_connection()


class LoopReader(SqliteReader):
    """Reads on the loop, at once."""

    def _begin(self) -> None:
        self._read_all()

    async def close(self) -> None:
        """Let go of the connection."""
        self._closing = True
        self.let_go()


class SimulatedDatabase(SqliteDatabase):
    """The real one on a simulated disk."""

    _disk: Disk

    @classmethod
    async def on(cls, path: Path, disk: Disk, life: Life) -> Self:
        """Open the database at `path` for one life. Raises SpoolUnavailableError."""
        database = await cls.open(path, writer=lambda opener: LoopWriter(opener, disk, life))
        database._disk = disk
        return database

    async def read(self, work: Callable[[Connection], T]) -> T:
        if self._disk.read_fails():
            raise SpoolUnavailableError("simulated: the disk cannot be read")
        return await super().read(work)

    def _make_reader(self, opener: ReadOpener, name: str) -> SqliteReader:
        return LoopReader(opener)

    def free_bytes(self) -> int:
        """There is room as long as the disk is not troubled by fullness."""
        return 0 if self._disk.trouble.full else 1 << 40

    def abandon(self) -> None:
        """Let go of everything as the end of a process does."""
        writer = self._writer
        if isinstance(writer, LoopWriter):
            writer.abandon()
        self._reader.let_go()
        self._opener.close()
