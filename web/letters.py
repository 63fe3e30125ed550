"""The front's own table: letters that were sent, and what the relay does not have yet.

Promise: `add` returns after the commit; from then on a letter is either waiting here to be handed over, or
known to the relay under `message_id`, or refused by it for good. Recipient and text leave this table in the
transaction that notes the hand-over. The status link's secret is never stored, only its hash; no address,
no agent and no exact time of a writer is (S53).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from relay.client.contract import Letter
from relay.clock import from_millis, to_millis
from relay.database.contract import Connection, Database

STREAM: Final = "letters"
_FOLDER: Final = Path(__file__).parent / "sql"
_ROUNDING: Final = 5 * 60 * 1000

_ADD_LETTER: Final = """
INSERT INTO web_letter (id, secret_hash, language, signature, created) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING id
"""
_ADD_HANDOVER: Final = """
INSERT INTO web_handover (letter_id, due, sender, sender_name, recipient, subject, text, html)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_FIND: Final = """
SELECT l.id, l.language, l.signature, l.created, l.message_id, l.refused, h.due
FROM web_letter l LEFT JOIN web_handover h ON h.letter_id = l.id WHERE l.secret_hash = ?
"""
_TAKE: Final = """
UPDATE web_handover SET due = ?, attempts = attempts + 1
WHERE due <= ? AND letter_id IN (SELECT letter_id FROM web_handover WHERE due <= ? ORDER BY due LIMIT ?)
RETURNING letter_id, attempts, sender, sender_name, recipient, subject, text, html,
  (SELECT created FROM web_letter WHERE id = letter_id)
"""
_FORGET: Final = """
DELETE FROM web_letter WHERE id IN (
  SELECT id FROM web_letter l WHERE created < ?
  AND NOT EXISTS (SELECT 1 FROM web_handover h WHERE h.letter_id = l.id) LIMIT ?)
"""


@dataclass(frozen=True, slots=True)
class NewLetter:
    """A letter as it is sent: its secret's hash and the finished mail, whose idempotency key is the id."""

    id: str
    secret_hash: bytes
    language: str
    signature: str
    mail: Letter


@dataclass(frozen=True, slots=True)
class LetterRecord:
    """What is kept of a letter. `due` is set while the relay does not have it."""

    id: str
    language: str
    signature: str
    created: datetime
    message_id: str | None
    refused: bool
    due: datetime | None


@dataclass(frozen=True, slots=True)
class PendingLetter:
    """A letter to hand over now. `attempts` counts the tries, this one included; `created` is rounded."""

    mail: Letter
    attempts: int
    created: datetime

    @property
    def id(self) -> str:
        """The letter's id, which is its idempotency key at the relay."""
        return self.mail.idempotency_key


def hash_secret(secret: str) -> bytes:
    """What is stored of a status link's secret; 160 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


class LetterStore(Protocol):
    """Keeps letters. Every call may raise SpoolUnavailableError."""

    async def prepare(self) -> None:
        """Make or update the tables."""
        ...

    async def add(self, letter: NewLetter, now: datetime, due: datetime) -> bool:
        """Keep `letter`, to be handed over at `due` by whoever looks then; False if its id is known already."""
        ...

    async def knows(self, letter_id: str) -> bool:
        """Whether a letter of this id was sent."""
        ...

    async def find(self, secret_hash: bytes) -> LetterRecord | None:
        """The letter of a status link."""
        ...

    async def take_due(self, now: datetime, claim: timedelta, limit: int) -> list[PendingLetter]:
        """Letters to hand over now; nobody else gets them before `claim` is over."""
        ...

    async def postpone(self, letter_id: str, due: datetime) -> None:
        """The relay could not take the letter: try again at `due`."""
        ...

    async def note_handed_over(self, letter_id: str, message_id: str) -> None:
        """The relay has the letter under `message_id`: forget recipient and text. Again is harmless."""
        ...

    async def note_refused(self, letter_id: str) -> None:
        """The relay will never take the letter: forget recipient and text."""
        ...

    async def forget(self, before: datetime, limit: int) -> int:
        """Delete up to `limit` letters older than `before` that the relay has or refused; how many it were."""
        ...


class DatabaseLetterStore:
    """`LetterStore` over the relay's database object, in tables of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        await self._database.migrate("web", _FOLDER / self._database.dialect)

    async def add(self, letter: NewLetter, now: datetime, due: datetime) -> bool:
        created = to_millis(now) // _ROUNDING * _ROUNDING
        mail = letter.mail
        known = (letter.id, letter.secret_hash, letter.language, letter.signature, created)
        content = (mail.sender, mail.sender_name, mail.recipient, mail.subject, mail.text, mail.html)

        def work(connection: Connection) -> bool:
            if not list(connection.execute(_ADD_LETTER, known)):
                return False
            connection.execute(_ADD_HANDOVER, (letter.id, to_millis(due), *content))
            return True

        return await self._database.write(work)

    async def knows(self, letter_id: str) -> bool:
        return bool(await self._rows("SELECT 1 FROM web_letter WHERE id = ?", (letter_id,)))

    async def find(self, secret_hash: bytes) -> LetterRecord | None:
        rows = await self._rows(_FIND, (secret_hash,))
        if not rows:
            return None
        letter_id, language, signature, created, message_id, refused, due = rows[0]
        return LetterRecord(
            id=letter_id,
            language=language,
            signature=signature,
            created=from_millis(created),
            message_id=message_id,
            refused=bool(refused),
            due=None if due is None else from_millis(due),
        )

    async def take_due(self, now: datetime, claim: timedelta, limit: int) -> list[PendingLetter]:
        moment = to_millis(now)
        # A look first: an idle front must not ask for the database's write lock every few seconds.
        if not await self._rows("SELECT 1 FROM web_handover WHERE due <= ? LIMIT 1", (moment,)):
            return []
        bindings = (to_millis(now + claim), moment, moment, limit)
        rows = await self._database.write(lambda connection: list(connection.execute(_TAKE, bindings)))
        return [_pending(row) for row in rows]

    async def postpone(self, letter_id: str, due: datetime) -> None:
        await self._change("UPDATE web_handover SET due = ? WHERE letter_id = ?", (to_millis(due), letter_id))

    async def note_handed_over(self, letter_id: str, message_id: str) -> None:
        await self._settle("UPDATE web_letter SET message_id = ? WHERE id = ?", (message_id, letter_id))

    async def note_refused(self, letter_id: str) -> None:
        # A late refusal never overrules a hand-over that another process has noted.
        await self._settle("UPDATE web_letter SET refused = ? WHERE id = ? AND message_id IS NULL", (1, letter_id))

    async def forget(self, before: datetime, limit: int) -> int:
        def work(connection: Connection) -> int:
            connection.execute(_FORGET, (to_millis(before), limit))
            return connection.changes()

        return await self._database.write(work)

    async def _rows(self, sql: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda connection: list(connection.execute(sql, bindings)))

    async def _change(self, sql: str, bindings: Sequence[Any]) -> None:
        def work(connection: Connection) -> None:
            connection.execute(sql, bindings)

        await self._database.write(work)

    async def _settle(self, sql: str, bindings: tuple[Any, str]) -> None:
        def work(connection: Connection) -> None:
            connection.execute(sql, bindings)
            connection.execute("DELETE FROM web_handover WHERE letter_id = ?", (bindings[1],))

        await self._database.write(work)


def _pending(row: tuple[Any, ...]) -> PendingLetter:
    letter_id, attempts, sender, sender_name, recipient, subject, text, html, created = row
    mail = Letter(
        sender=sender,
        sender_name=sender_name,
        recipient=recipient,
        subject=subject,
        text=text,
        html=html,
        stream=STREAM,
        idempotency_key=letter_id,
    )
    return PendingLetter(mail, attempts, from_millis(created))
