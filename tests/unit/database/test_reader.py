"""What waits for the reader is read together, in one snapshot, and each question is answered for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from relay.database.contract import Connection
from relay.database.reader import MOST_TOGETHER
from relay.database.sqlite import SqliteDatabase
from relay.errors import SpoolUnavailableError

_COUNT = "SELECT COUNT(*) FROM thing"


def count(connection: Connection) -> int:
    ((found,),) = connection.execute(_COUNT)
    return int(found)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SqliteDatabase]:
    database = await SqliteDatabase.open(folder / "things.db")
    try:
        await database.write(lambda connection: connection.execute("CREATE TABLE thing (name TEXT)"))
        yield database
    finally:
        await database.close()


class Busy:
    """A question that keeps the reader busy until it is let go."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._begun, self._ends = threading.Event(), threading.Event()
        self._asking = asyncio.create_task(database.read(self._work))

    def _work(self, connection: Connection) -> int:
        self._begun.set()
        self._ends.wait(10)
        return count(connection)

    async def has_begun(self) -> None:
        await asyncio.to_thread(self._begun.wait, 10)

    async def end(self) -> int:
        self._ends.set()
        return await self._asking


async def test_what_waits_is_read_in_one_snapshot_and_what_is_asked_later_in_a_later_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        busy = Busy(database)
        await busy.has_begun()

        def adds(connection: Connection) -> int:
            before = count(connection)
            other = apsw.Connection(str(tmp_path / "things.db"))
            other.execute("INSERT INTO thing VALUES ('beside')")
            other.close()
            return before

        waiting = [asyncio.create_task(database.read(work)) for work in (adds, count, count)]
        await asyncio.sleep(0)
        assert await busy.end() == 0
        assert await asyncio.gather(*waiting) == [0, 0, 0]
        assert await database.read(count) == 1


async def test_who_wrote_before_asking_reads_what_they_wrote(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:

        async def writes_and_reads(n: int) -> int:
            await database.write(lambda connection: connection.execute("INSERT INTO thing VALUES (?)", (str(n),)))
            return await database.read(count)

        found = await asyncio.gather(*(writes_and_reads(n) for n in range(3 * MOST_TOGETHER)))
        assert max(found) == 3 * MOST_TOGETHER
        assert min(found) >= 1


async def test_a_question_that_fails_fails_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as database:
        busy = Busy(database)
        await busy.has_begun()

        def breaks(_: Connection) -> None:
            raise KeyError("mine")

        def meets_a_broken_disk(_: Connection) -> None:
            raise apsw.IOError("disk")

        def has_no_such_table(connection: Connection) -> Any:
            return list(connection.execute("SELECT 1 FROM nothing"))

        works = (breaks, count, meets_a_broken_disk, count, has_no_such_table, count)
        waiting = [asyncio.create_task(database.read(work)) for work in works]
        await asyncio.sleep(0)
        await busy.end()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        kinds = [KeyError, int, SpoolUnavailableError, int, apsw.SQLError, int]
        assert [type(one) for one in found] == kinds
        assert await database.read(count) == 0


async def test_who_left_is_not_read_for_and_who_asked_before_the_end_is_answered(tmp_path: Path) -> None:
    read: list[str] = []
    database = await SqliteDatabase.open(tmp_path / "things.db")
    await database.write(lambda connection: connection.execute("CREATE TABLE thing (name TEXT)"))
    busy = Busy(database)
    await busy.has_begun()
    left = asyncio.create_task(database.read(lambda _: read.append("left")))
    stayed = asyncio.create_task(database.read(lambda _: read.append("stayed")))
    await asyncio.sleep(0)
    left.cancel()
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0)
    await busy.end()
    await asyncio.gather(closing, stayed)
    assert left.cancelled()
    assert read == ["stayed"]
    with pytest.raises(SpoolUnavailableError):
        await database.read(count)


async def test_who_asks_nothing_has_no_thread_and_who_has_ended_none_any_more(tmp_path: Path) -> None:
    def threads() -> int:
        return sum(thread.name == "spool-reader" for thread in threading.enumerate())

    before = threads()
    async with opened(tmp_path) as database:
        assert threads() == before
        assert await database.read(count) == 0
        assert threads() == before + 1
    assert threads() == before
