"""A disk that fails under the database: every waiter is told, nothing acknowledged is lost, it resumes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from relay.database.contract import Connection
from relay.database.sqlite import SqliteDatabase
from relay.errors import LeakError, SpoolFullError, SpoolUnavailableError


class Disk:
    """Which operations fail just now, and with what; `spare` of them still succeed first."""

    def __init__(self) -> None:
        self.failing: dict[str, type[Exception]] = {}
        self.spare = 0
        self.opened = 0
        """Databases opened so far."""

    def strike(self, operation: str) -> None:
        error = self.failing.get(operation)
        if error is None:
            return
        self.spare -= 1
        if self.spare < 0:
            raise error("injected")


class FaultyVfs(apsw.VFS):
    """The system's files on a disk that may fail."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        super().__init__("faulty", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        self.disk.opened += bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)
        return FaultyFile(name, flags, self.disk)

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        """What was injected needs no report."""
        return True


class FaultyFile(apsw.VFSFile):
    def __init__(self, filename: Any, flags: list[int], disk: Disk) -> None:
        super().__init__("", filename, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.strike("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.strike("sync")
        super().xSync(flags)

    def excepthook(self, etype: Any, evalue: Any, etraceback: Any) -> bool:
        """What was injected needs no report."""
        return True


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    vfs = FaultyVfs(disk)
    yield disk
    vfs.unregister()


@pytest.fixture
async def database(disk: Disk, tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = await SqliteDatabase.open(tmp_path / "spool.db", vfs="faulty")
    await database.write(lambda c: list(c.execute("CREATE TABLE t (v INTEGER UNIQUE) STRICT")))
    yield database
    disk.failing.clear()
    await database.close()


async def insert(database: SqliteDatabase, value: int) -> int:
    def work(connection: Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        return value

    return await database.write(work)


def why(database: SqliteDatabase) -> LeakError | None:
    """The failure as it is now."""
    return database.failure


async def there(database: SqliteDatabase) -> set[int]:
    return await database.read(lambda c: {row[0] for row in c.execute("SELECT v FROM t")})


@pytest.mark.parametrize("operation", ["sync", "write"])
@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
@pytest.mark.parametrize("spare", [0, 1, 2])
async def test_a_failing_disk_is_told_and_left_behind(
    database: SqliteDatabase, disk: Disk, operation: str, error: type[Exception], spare: int
) -> None:
    # R03, R04: a commit that failed is never called good, and the next one starts on a fresh connection
    acknowledged = {await insert(database, value) for value in range(5)}
    disk.failing[operation], disk.spare = error, spare
    answers: list[int | BaseException] = []
    for start in range(10, 50, 10):
        units = (insert(database, value) for value in range(start, start + 10))
        answers += await asyncio.gather(*units, return_exceptions=True)
    acknowledged |= {answer for answer in answers if isinstance(answer, int)}
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert refused
    assert all(isinstance(answer, SpoolUnavailableError) for answer in refused)
    assert isinstance(database.failure, SpoolUnavailableError)
    if error is apsw.FullError and operation == "write":
        assert any(isinstance(answer, SpoolFullError) for answer in refused)
    disk.failing.clear()
    opened = disk.opened
    acknowledged.add(await insert(database, 99))
    assert disk.opened > opened  # what the failed connection holds in its cache was never synced
    assert why(database) is None
    assert acknowledged <= await there(database)
    assert await database.read(lambda c: next(iter(c.execute("PRAGMA integrity_check")))[0]) == "ok"


async def test_a_lock_held_by_another_program_is_waited_for_and_then_told(tmp_path: Path) -> None:
    # R26: SQLite's own lock, taken by somebody who does not know our lock file
    database = await SqliteDatabase.open(tmp_path / "spool.db")
    await database.write(lambda c: list(c.execute("CREATE TABLE t (v INTEGER UNIQUE) STRICT")))
    stranger = apsw.Connection(str(database.path))
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(SpoolUnavailableError):
        await insert(database, 1)
    waiting = asyncio.create_task(insert(database, 2))
    await asyncio.sleep(0.3)
    stranger.execute("COMMIT")
    stranger.close()
    assert await waiting == 2
    assert await there(database) == {2}
    await database.close()


async def test_patience_ends_before_the_transaction_begins(tmp_path: Path) -> None:
    database = await SqliteDatabase.open(tmp_path / "spool.db")
    other = await SqliteDatabase.open(tmp_path / "spool.db")
    await database.write(lambda c: list(c.execute("CREATE TABLE t (v INTEGER UNIQUE) STRICT")))
    hold = asyncio.Event()

    def slow(_connection: Connection) -> None:
        loop.call_soon_threadsafe(hold.set)
        import time

        time.sleep(0.5)

    loop = asyncio.get_running_loop()
    slowly = asyncio.create_task(other.write(slow))
    await hold.wait()

    def work(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")

    with pytest.raises(SpoolUnavailableError, match=r"within 0\.1 s"):
        await database.write(work, patience=0.1)
    await slowly
    await insert(database, 2)
    assert await there(database) == {2}
    await other.close()
    await database.close()
