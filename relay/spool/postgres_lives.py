"""Lives of workers on PostgreSQL: registered, heard of, ended.

An accept or a claim holds a key share of its incarnation's row until it commits, and ending one locks the row
first: so an ended life is never leased anything that nobody would give back.
"""

from __future__ import annotations

from typing import Final

from relay.database.postgres import Transaction
from relay.spool.contract import Incarnation
from relay.spool.postgres_quarantine import void_leases

# On the database's clock, and never the same twice, however coarse or unsteady that clock is.
_BEAT: Final = """
UPDATE incarnation
SET heartbeat = greatest(heartbeat + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
WHERE id = $1 AND ended IS NULL
"""

_BEGIN: Final = """
INSERT INTO incarnation (node, worker, started, heartbeat)
VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) RETURNING id
"""


async def register(transaction: Transaction, node: str, worker: int, now: int) -> Incarnation:
    """Begin a life and end the earlier one of the same node and worker."""
    await transaction.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, $2))", node, worker)
    older = "SELECT id FROM incarnation WHERE node = $1 AND worker = $2 AND ended IS NULL ORDER BY id"
    for (old,) in await transaction.fetch(older, node, worker):
        await end(transaction, old, now, died=True)
    return Incarnation((await transaction.fetch(_BEGIN, node, worker, now))[0][0])


async def say_alive(transaction: Transaction, incarnation: Incarnation) -> bool:
    """A heartbeat; False if the life was ended."""
    return await transaction.execute(_BEAT, incarnation) == 1


async def living(transaction: Transaction) -> list[tuple[int, int]]:
    """(incarnation, heartbeat) of every life that was not ended."""
    rows = await transaction.fetch("SELECT id, heartbeat FROM incarnation WHERE ended IS NULL")
    return [(one, beat) for one, beat in rows]


async def end(transaction: Transaction, incarnation: int, now: int, *, died: bool) -> None:
    """End a life, if nobody did, and give back what it holds; `died`: it did not retire."""
    await transaction.execute("SELECT FROM incarnation WHERE id = $1 FOR UPDATE", incarnation)
    await transaction.execute("UPDATE incarnation SET ended = $2 WHERE id = $1 AND ended IS NULL", incarnation, now)
    await void_leases(transaction, incarnation, now, died=died)
