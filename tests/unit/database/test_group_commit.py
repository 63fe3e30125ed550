"""Group commit on a real SQLite file: durability's front desk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from relay.database.contract import Connection
from relay.database.sqlite import SqliteDatabase
from relay.errors import SchemaError, SpoolUnavailableError


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = await SqliteDatabase.open(tmp_path / "spool" / "t.db")
    await database.write(lambda c: c.execute("CREATE TABLE t (v INTEGER UNIQUE) STRICT"))
    yield database
    await database.close()


def insert(value: int) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        return value

    return work


async def values(database: SqliteDatabase) -> set[int]:
    return await database.read(lambda c: {row[0] for row in c.execute("SELECT v FROM t")})


async def test_concurrent_units_are_all_committed(database: SqliteDatabase) -> None:
    results = await asyncio.gather(*(database.write(insert(i)) for i in range(500)))
    assert results == list(range(500))
    assert await values(database) == set(range(500))


async def test_a_failing_unit_is_undone_alone(database: SqliteDatabase) -> None:
    def half(connection: Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise LookupError("stop")

    results = await asyncio.gather(
        database.write(insert(7)),
        database.write(half),
        database.write(insert(8)),
        return_exceptions=True,
    )
    assert isinstance(results[1], LookupError)
    assert await values(database) == {7, 8}


async def test_a_waiter_that_gives_up_before_begin_leaves_no_trace(database: SqliteDatabase) -> None:
    def slow(connection: Connection) -> None:
        import time

        time.sleep(0.2)

    first = asyncio.create_task(database.write(slow))
    await asyncio.sleep(0.05)
    # This one joins the open transaction's queue; the writer thread sleeps, so it has not been taken.
    second = asyncio.create_task(database.write(insert(1)))
    await asyncio.sleep(0.01)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await first
    assert await values(database) == set()


async def test_files_are_private(database: SqliteDatabase) -> None:
    assert database.path.stat().st_mode & 0o077 == 0
    assert database.path.parent.stat().st_mode & 0o077 == 0


async def test_an_unusable_path_is_a_spool_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolUnavailableError):
        await SqliteDatabase.open(tmp_path / "file" / "spool.db")


async def test_migrations_apply_once_and_notice_changes(tmp_path: Path) -> None:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "0001_a.sql").write_text("CREATE TABLE a (x INTEGER) STRICT; -- first\nCREATE TABLE b (y TEXT) STRICT;\n")
    database = await SqliteDatabase.open(tmp_path / "m.db")
    try:
        assert await database.migrate("part", folder) == ["0001_a.sql"]
        assert await database.migrate("part", folder) == []
        (folder / "0002_c.sql").write_text("CREATE TABLE c (z BLOB) STRICT;\n")
        assert await database.migrate("part", folder) == ["0002_c.sql"]
        (folder / "0002_c.sql").unlink()
        with pytest.raises(SchemaError, match="too old"):  # R10: an old binary refuses a newer schema
            await database.migrate("part", folder)
        (folder / "0002_c.sql").write_text("CREATE TABLE other (z BLOB) STRICT;\n")
        with pytest.raises(SchemaError, match="changed"):
            await database.migrate("part", folder)
        (folder / "0003_bad.sql").write_text("CREATE TABLE broken (;\n")
        (folder / "0002_c.sql").write_text("CREATE TABLE c (z BLOB) STRICT;\n")
        with pytest.raises(SchemaError, match="failed"):
            await database.migrate("part", folder)
    finally:
        await database.close()
