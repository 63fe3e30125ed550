"""Replies to letters, between the inbound door and the front that sent the letter: words alone, one reply a letter.

The transaction that sorts a reply adds its words here; they go when the front says that it has them, when the letter
is forgotten or its recipient erased, and after `inbound.keep`. The line stays with the message: a letter has one reply.
In SQL that every database knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.clock import Clock
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.ids import SpoolId

MOST_WAITING: Final = 10_000
"""Replies that wait for all fronts together; more are not passed on."""

_ADD: Final = """
INSERT INTO letter_reply (message, at, words)
SELECT m.seq, ?, ? FROM message m JOIN recipient r ON r.message = m.seq WHERE m.id = ?
ON CONFLICT DO NOTHING
"""
_WAITING: Final = """
SELECT m.id, r.address, a.words FROM letter_reply a JOIN message m ON m.seq = a.message
JOIN recipient r ON r.message = m.seq
WHERE a.words IS NOT NULL AND m.tenant = ? AND COALESCE(m.credential, 0) = ? ORDER BY a.at, a.message LIMIT ?
"""
_TAKEN: Final = """
UPDATE letter_reply SET words = NULL
WHERE message = (SELECT seq FROM message WHERE id = ? AND tenant = ? AND COALESCE(credential, 0) = ?)
"""


@dataclass(frozen=True, slots=True)
class WaitingReply:
    """The words of a reply, to which message, and the address that message went to."""

    message: SpoolId
    recipient: str
    words: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose letters are meant: a front beside us has no credential."""

    tenant: int
    credential: int | None


class LetterReplies:
    """Over the spool's database, after its migrations. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def has_room(self, message: SpoolId) -> bool:
        """Whether a reply to this message may be passed on: it has none yet, and not too many wait."""

        def work(connection: Connection) -> bool:
            sql = "SELECT 1 FROM letter_reply WHERE message = (SELECT seq FROM message WHERE id = ?)"
            if list(connection.execute(sql, (message,))):
                return False
            ((waiting,),) = connection.execute("SELECT count(*) FROM letter_reply WHERE words IS NOT NULL", ())
            return bool(waiting < MOST_WAITING)

        return await self._database.read(work)

    async def waiting(self, whose: Customer, limit: int) -> list[WaitingReply]:
        """The oldest that wait."""
        bindings = (whose.tenant, whose.credential or 0, limit)
        rows = await rows_of(self._database, _WAITING, bindings)
        return [WaitingReply(SpoolId(message), recipient, words) for message, recipient, words in rows]

    async def taken(self, whose: Customer, messages: Sequence[str]) -> None:
        """The front has the words of replies to these messages; again is harmless."""
        rows = [(message, whose.tenant, whose.credential or 0) for message in messages]
        if rows:
            await self._database.write(lambda connection: connection.executemany(_TAKEN, rows))


def add_reply(connection: Connection, message: SpoolId, words: str, now: int) -> None:
    """Keep the words of the first reply to a message whose recipient is known; a second is dropped."""
    connection.execute(_ADD, (now, words, message))


def erase_reply(connection: Connection, seq: int) -> None:
    """Delete the words of the reply to a message."""
    connection.execute("UPDATE letter_reply SET words = NULL WHERE message = ?", (seq,))


def forget_replies(connection: Connection, before: int) -> None:
    """Delete words that came before a moment, and that no front fetched."""
    connection.execute("UPDATE letter_reply SET words = NULL WHERE at < ? AND words IS NOT NULL", (before,))
