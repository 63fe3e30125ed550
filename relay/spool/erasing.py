"""Erasing a recipient: the one row that holds the address goes, what happened stays.

Mail that waits for an erased recipient is cancelled when it would be claimed. Content that went to nobody else goes
with the address, since the address stands in its header too.
"""

from __future__ import annotations

from typing import Final

from relay.database.contract import Connection, Database

_FIND: Final = """
SELECT r.message, r.n FROM recipient r JOIN message m ON m.seq = r.message
WHERE lower(r.address) = lower(?) AND m.tenant = ?
"""
_ERASE: Final = "DELETE FROM recipient WHERE message = ? AND n = ?"
_IS_ALONE: Final = """
SELECT 1 FROM message WHERE seq = ? AND open = 0 AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = seq)
"""


async def erase_recipient(database: Database, tenant: int, address: str) -> int:
    """Erase `address` from the mail of `tenant`; in how many mails it stood. Raises SpoolUnavailableError."""

    def work(connection: Connection) -> int:
        found = list(connection.execute(_FIND, (address, tenant)))
        for seq, n in found:
            connection.execute(_ERASE, (seq, n))
        for seq in {seq for seq, _ in found}:
            if list(connection.execute(_IS_ALONE, (seq,))):
                connection.execute("DELETE FROM content WHERE message = ?", (seq,))
                connection.execute("UPDATE message SET forgotten = 1 WHERE seq = ?", (seq,))
        return len({seq for seq, _ in found})

    return await database.write(work)
