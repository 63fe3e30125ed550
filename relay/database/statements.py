"""Single statements, each in a transaction of its own: for whoever needs no more of a database than that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from relay.database.contract import Connection, Database

Statement = tuple[str, Sequence[Any]]
"""SQL with `?` placeholders, and what stands for them."""


async def rows_of(database: Database, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Every row that a question brings. Raises SpoolUnavailableError."""
    return await database.read(lambda connection: list(connection.execute(sql, bindings)))


async def change(database: Database, *statements: Statement) -> None:
    """Run statements in one transaction, which is committed when this returns. Raises SpoolUnavailableError."""

    def work(connection: Connection) -> None:
        for sql, bindings in statements:
            connection.execute(sql, bindings)

    await database.write(work)
