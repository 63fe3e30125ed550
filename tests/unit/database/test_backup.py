"""Backup and restore (R11), and damage that is seen instead of believed (R07)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from relay.database.backup import BackupError, backup, check, restore
from relay.database.contract import Connection
from relay.database.sqlite import SqliteDatabase


def quiet(_done: int, _total: int) -> None:
    """No progress."""


async def filled(path: Path, rows: int) -> SqliteDatabase:
    folder = path.parent / "sql"
    folder.mkdir(exist_ok=True)
    (folder / "0001_t.sql").write_text("CREATE TABLE t (v INTEGER, filling BLOB) STRICT;\n")
    database = await SqliteDatabase.open(path)
    await database.migrate("test", folder)
    await database.write(lambda c: insert_all(c, rows))
    return database


def insert_all(connection: Connection, rows: int) -> None:
    for n in range(rows):
        insert(connection, n)


def insert(connection: Connection, n: int) -> None:
    connection.execute("INSERT INTO t VALUES (?, randomblob(3000))", (n,))


def values(path: Path) -> set[int]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return {row[0] for row in connection.execute("SELECT v FROM t")}
    finally:
        connection.close()


async def test_a_hot_backup_is_whole_and_of_one_moment(tmp_path: Path) -> None:
    database = await filled(tmp_path / "spool.db", 3000)
    told: list[tuple[int, int]] = []
    copying = asyncio.create_task(
        asyncio.to_thread(backup, database.path, tmp_path / "copy.db", lambda done, total: told.append((done, total)))
    )
    written = 3000
    while not copying.done():
        await database.write(lambda c, n=written: insert(c, n))  # type: ignore[misc]
        written += 1
    size = await copying
    await database.close()
    found = values(tmp_path / "copy.db")
    assert set(range(3000)) <= found
    assert found == set(range(len(found)))  # a prefix of what was committed, without a hole
    assert size == (tmp_path / "copy.db").stat().st_size
    assert told[-1][0] == told[-1][1]
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0
    assert not (tmp_path / "copy.db-wal").exists()


async def test_a_restore_keeps_what_was_there(tmp_path: Path) -> None:
    database = await filled(tmp_path / "spool.db", 10)
    backup(database.path, tmp_path / "copy.db", quiet)
    await database.write(lambda c: insert(c, 10))
    await database.close()
    aside = restore(tmp_path / "copy.db", tmp_path / "spool.db", quiet)
    assert aside is not None
    assert values(tmp_path / "spool.db") == set(range(10))
    assert values(aside) == set(range(11))
    assert restore(tmp_path / "copy.db", tmp_path / "elsewhere" / "spool.db", quiet) is None
    reopened = await SqliteDatabase.open(tmp_path / "elsewhere" / "spool.db")
    await reopened.write(lambda c: insert(c, 99))
    await reopened.close()


async def test_damage_is_seen(tmp_path: Path) -> None:
    database = await filled(tmp_path / "spool.db", 500)
    await database.close()
    backup(tmp_path / "spool.db", tmp_path / "copy.db", quiet)
    octets = bytearray((tmp_path / "copy.db").read_bytes())
    for page in (3, 7, 11):
        octets[page * 4096 + 5] ^= 0xFF
    (tmp_path / "copy.db").write_bytes(octets)
    with pytest.raises(BackupError, match=r"damaged|not a sound"):
        check(tmp_path / "copy.db")
    before = (tmp_path / "spool.db").read_bytes()
    with pytest.raises(BackupError):
        restore(tmp_path / "copy.db", tmp_path / "spool.db", quiet)
    assert (tmp_path / "spool.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"no database at all, but longer than a header of a hundred octets" * 3])
async def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(BackupError):
        restore(tmp_path / "x", tmp_path / "spool.db", quiet)
    with pytest.raises(BackupError, match="no such file"):
        restore(tmp_path / "y", tmp_path / "spool.db", quiet)
    with pytest.raises(BackupError, match="exists"):
        backup(tmp_path / "spool.db", tmp_path / "x", quiet)
    with pytest.raises(BackupError, match="no spool"):
        backup(tmp_path / "spool.db", tmp_path / "new", quiet)
    assert not (tmp_path / "spool.db").exists()
