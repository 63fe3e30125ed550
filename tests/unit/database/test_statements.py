"""Single statements: a question's rows, and changes that are made together or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.database.sqlite import SqliteDatabase
from relay.database.statements import change, rows_of


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await SqliteDatabase.open(tmp_path / "one.db")
    await change(opened, ("CREATE TABLE shelf (book TEXT PRIMARY KEY)", ()))
    yield opened
    await opened.close()


async def test_every_row_comes(database: SqliteDatabase) -> None:
    await change(database, *(("INSERT INTO shelf VALUES (?)", (book,)) for book in ("b", "a")))
    assert await rows_of(database, "SELECT book FROM shelf ORDER BY book") == [("a",), ("b",)]
    assert await rows_of(database, "SELECT book FROM shelf WHERE book = ?", ("c",)) == []


async def test_statements_are_one_transaction(database: SqliteDatabase) -> None:
    twice = [("INSERT INTO shelf VALUES (?)", ("a",))] * 2
    with pytest.raises(Exception, match="UNIQUE"):
        await change(database, *twice)
    assert await rows_of(database, "SELECT book FROM shelf") == []
