"""Large bodies on PostgreSQL: what `relay.spool.bodies` does, beside the other nodes.

The row of a body in `upload` is locked by whoever writes a piece, accepts it or removes it, so a piece is never added
to a body that is being removed, and no message takes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from relay.database.postgres import Transaction
from relay.errors import SpoolUnavailableError
from relay.ids import SpoolId
from relay.spool.bodies import FIRST_PIECE, GIVEN_UP, OVER
from relay.spool.work import Incarnation, NewMessage

_BEGIN: Final = """
INSERT INTO upload (message, incarnation)
SELECT nextval(pg_get_serial_sequence('message', 'seq')), id
FROM (SELECT id FROM incarnation WHERE id = $1 AND ended IS NULL FOR KEY SHARE) AS living
RETURNING message
"""

_LOCK: Final = "SELECT message FROM upload WHERE message = $1 AND given_up = 0 FOR NO KEY UPDATE"

_ADD: Final = "INSERT INTO content (message, piece, data) VALUES ($1, $2, $3)"

_STAND: Final = "SELECT message FROM upload WHERE message = ANY($1::bigint[]) AND given_up = 0 ORDER BY 1 FOR UPDATE"

_COPY: Final = """
INSERT INTO content (message, piece, data) SELECT $1, piece, data FROM content WHERE message = $2 AND piece >= $3
"""

_REMOVE: Final = """
DELETE FROM content WHERE message = $1 AND piece IN (SELECT piece FROM content WHERE message = $1 LIMIT $2)
"""


async def begin(transaction: Transaction, owner: Incarnation) -> int:
    """Take a message number for a body. Raises SpoolUnavailableError if the life was ended."""
    rows = await transaction.fetch(_BEGIN, owner)
    if not rows:
        raise SpoolUnavailableError(GIVEN_UP)
    return int(rows[0][0])


async def add(transaction: Transaction, seq: int, piece: int, data: bytes) -> None:
    """Write a piece. Raises SpoolUnavailableError if the body was given up."""
    if not await transaction.fetch(_LOCK, seq):
        raise SpoolUnavailableError(GIVEN_UP)
    await transaction.execute(_ADD, seq, FIRST_PIECE + piece, data)


async def gone_bodies(transaction: Transaction, messages: Sequence[NewMessage]) -> frozenset[SpoolId]:
    """The messages whose bodies were removed meanwhile; the other bodies stand until the end of the transaction."""
    bodies = {message.id: message.body.seq for message in messages if message.body is not None}
    if not bodies:
        return frozenset()
    stand = {seq for (seq,) in await transaction.fetch(_STAND, sorted(set(bodies.values())))}
    return frozenset(one for one, seq in bodies.items() if seq not in stand)


async def adopt(transaction: Transaction, messages: Sequence[NewMessage], seqs: Mapping[SpoolId, int]) -> None:
    """Make the pieces the messages' own, or copy them where each recipient gets a message of his own."""
    own: list[int] = []
    for message in messages:
        if message.body is not None and message.copies_body:
            await transaction.execute(_COPY, seqs[message.id], message.body.seq, FIRST_PIECE)
        elif message.body is not None:
            own.append(message.body.seq)
    if own:
        await transaction.execute("DELETE FROM upload WHERE message = ANY($1::bigint[])", own)


async def remove_orphan(transaction: Transaction, limit: int) -> bool:
    """Delete up to `limit` pieces of a body that no message will take; False when there is none."""
    for (seq,) in await transaction.fetch(f"{OVER} FOR UPDATE OF u SKIP LOCKED"):
        await transaction.execute("UPDATE upload SET given_up = 1 WHERE message = $1", seq)
        if await transaction.execute(_REMOVE, seq, limit) < limit:
            await transaction.execute("DELETE FROM upload WHERE message = $1", seq)
        return True
    return False
