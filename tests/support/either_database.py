"""Contracts are tried on both databases: a new SQLite file, and a new database of a real PostgreSQL server."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from relay.clock import Clock
from relay.database.contract import Database
from relay.database.postgres import PostgresDatabase
from relay.database.sqlite import SqliteDatabase
from relay.spool.contract import Spool
from relay.spool.postgres import PostgresSpool
from relay.spool.sqlite import SqliteSpool
from tests.support.postgres_server import PostgresServer

BOTH: Final = ["sqlite", "postgres"]
"""The parameters of a fixture that calls `open_database`."""


async def open_database(request: pytest.FixtureRequest, folder: Path, kind: str = "") -> Database:
    """The empty database of this kind, else of the fixture's parameter; the caller closes it."""
    if (kind or request.param) == "sqlite":
        return await SqliteDatabase.open(folder / "spool.db")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return await PostgresDatabase.open(await server.create())


def spool_on(database: Database, clock: Clock) -> Spool:
    """The spool of that database, not yet migrated; closing it closes the database."""
    if isinstance(database, SqliteDatabase):
        return SqliteSpool(database, clock)
    assert isinstance(database, PostgresDatabase)
    return PostgresSpool(database, clock)
