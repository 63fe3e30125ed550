"""What was submitted under an idempotency key: asked by a customer who died before hearing the answer."""

from __future__ import annotations

from relay.database.contract import Database
from relay.database.statements import rows_of


async def keyed_message(database: Database, tenant: int, key: str) -> str:
    """The id of what `tenant` submitted under an idempotency key, while that is remembered; "" if there is none.

    Raises SpoolUnavailableError.
    """
    names = "id" if database.dialect == "postgres" else "seq"  # on PostgreSQL a key is taken before the number is drawn
    sql = f"SELECT m.id FROM idempotency i JOIN message m ON m.{names} = i.message WHERE i.tenant = ? AND i.key = ?"  # noqa: S608 - of two names
    rows = await rows_of(database, sql, (tenant, key))
    return str(rows[0][0]) if rows else ""
