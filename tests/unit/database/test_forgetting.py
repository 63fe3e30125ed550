"""What is deleted from an embedded database is overwritten in its file, not only unlinked (`secure_delete`)."""

from __future__ import annotations

from pathlib import Path

from relay.database.contract import Connection
from relay.database.sqlite import SqliteDatabase

WORDS = b"words that nobody is to find again "


async def test_deleted_rows_leave_no_octet_in_the_file(tmp_path: Path) -> None:  # S53
    def make(connection: Connection) -> None:
        connection.execute("CREATE TABLE said (id INTEGER PRIMARY KEY, words BLOB) STRICT")
        connection.executemany("INSERT INTO said VALUES (?, ?)", [(n, WORDS * (1 + 40 * n)) for n in range(50)])

    def forget(connection: Connection) -> None:
        connection.execute("UPDATE said SET words = x'' WHERE id < 10")
        connection.execute("DELETE FROM said WHERE id >= 10")

    for work in (make, forget):
        database = await SqliteDatabase.open(tmp_path / "front.db")
        await database.write(work)
        await database.close()  # the last one that closes moves the WAL into the file
        found = any(WORDS in path.read_bytes() for path in tmp_path.glob("front.db*"))
        assert found == (work is make)
