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


async def erase_message(database: Database, tenant: int, message_id: str) -> bool:
    """Erase the addresses of one mail of `tenant`, and its content once nobody needs it any more; whether all is gone.

    Raises SpoolUnavailableError.
    """

    def work(connection: Connection) -> bool:
        found = list(connection.execute("SELECT seq FROM message WHERE id = ? AND tenant = ?", (message_id, tenant)))
        if not found:
            return True
        seq = found[0][0]
        connection.execute("DELETE FROM recipient WHERE message = ?", (seq,))
        return _forget_content(connection, seq)

    return await database.write(work)


async def erase_recipient(database: Database, tenant: int, address: str) -> int:
    """Erase `address` from the mail of `tenant`; in how many mails it stood. Raises SpoolUnavailableError."""

    def work(connection: Connection) -> int:
        found = list(connection.execute(_FIND, (address, tenant)))
        for seq, n in found:
            connection.execute(_ERASE, (seq, n))
        for seq in {seq for seq, _ in found}:
            _forget_content(connection, seq)
        return len({seq for seq, _ in found})

    return await database.write(work)


def _forget_content(connection: Connection, seq: int) -> bool:
    """Delete the content of a mail that nobody is to get any more; whether it is gone."""
    if not list(connection.execute(_IS_ALONE, (seq,))):
        return False
    connection.execute("DELETE FROM content WHERE message = ?", (seq,))
    connection.execute("UPDATE message SET forgotten = 1 WHERE seq = ?", (seq,))
    return True
