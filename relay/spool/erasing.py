"""Erasing a recipient: the one row that holds the address goes, what happened stays.

Mail that waits for an erased recipient is cancelled when it would be claimed. Content that went to nobody else goes
with the address, since the address stands in its header too. So do the transcripts of attempts and the words of hosts,
which repeat it, reports of failures that came back, and the words of a reply that no front has fetched.
"""

from __future__ import annotations

from typing import Final

from relay.database.contract import Connection, Database
from relay.spool.letter_replies import erase_reply
from relay.spool.rows import dump, load, wordless

_FIND: Final = """
SELECT r.message, r.n, m.id FROM recipient r JOIN message m ON m.seq = r.message
WHERE lower(r.address) = lower(?) AND m.tenant = ?
"""
_ERASE: Final = "DELETE FROM recipient WHERE message = ? AND n = ?"
_ATTEMPTS: Final = "SELECT number, at, n, detail FROM attempt WHERE message = ?"
_QUIET_ATTEMPT: Final = (
    "UPDATE attempt SET transcript = '[]', detail = ? WHERE message = ? AND n = ? AND number = ? AND at = ?"
)
_EVENTS: Final = "SELECT seq, n, detail FROM event WHERE message = ? AND detail IS NOT NULL"
_QUIET_EVENT: Final = "UPDATE event SET detail = ? WHERE seq = ?"
_RETURNED: Final = (
    "UPDATE inbound_mail SET content = NULL WHERE id IN"
    " (SELECT mail FROM inbound WHERE message = ? AND n = ? AND sorted_at IS NOT NULL)"
)
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
        deliveries = [n for (n,) in connection.execute("SELECT n FROM delivery WHERE message = ?", (seq,))]
        connection.execute("DELETE FROM recipient WHERE message = ?", (seq,))
        for n in deliveries:
            _forget_words(connection, seq, n, message_id)
        return _forget_content(connection, seq)

    return await database.write(work)


async def erase_recipient(database: Database, tenant: int, address: str) -> int:
    """Erase `address` from the mail of `tenant`; in how many mails it stood. Raises SpoolUnavailableError."""

    def work(connection: Connection) -> int:
        found = list(connection.execute(_FIND, (address, tenant)))
        for seq, n, message_id in found:
            connection.execute(_ERASE, (seq, n))
            _forget_words(connection, seq, n, message_id)
        for seq in {seq for seq, _, _ in found}:
            _forget_content(connection, seq)
        return len({seq for seq, _, _ in found})

    return await database.write(work)


def _forget_words(connection: Connection, seq: int, n: int, message_id: str) -> None:
    """Delete what hosts said about one delivery: they name whom they speak of."""
    for number, at, whose, detail in list(connection.execute(_ATTEMPTS, (seq,))):
        if whose == n:
            connection.execute(_QUIET_ATTEMPT, (dump(wordless(load(detail))), seq, n, number, at))
    for event, whose, detail in list(connection.execute(_EVENTS, (seq,))):
        if whose == n:
            connection.execute(_QUIET_EVENT, (dump(wordless(load(detail))), event))
    connection.execute(_RETURNED, (message_id, n))
    erase_reply(connection, seq)


def _forget_content(connection: Connection, seq: int) -> bool:
    """Delete the content of a mail that nobody is to get any more; whether it is gone."""
    if not list(connection.execute(_IS_ALONE, (seq,))):
        return False
    connection.execute("DELETE FROM content WHERE message = ?", (seq,))
    connection.execute("UPDATE message SET forgotten = 1 WHERE seq = ?", (seq,))
    return True
