"""The table of letters in the relay's database: what was sent, and what the relay does not have yet.

Every change of a letter is one transaction; two processes that change the same letter find out by the rows they
changed. A letter that waits for a person has a due time that never comes, so that whoever looks for due letters,
an older program included, leaves it alone; but not one of whose hold its writer is told nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from relay.client.contract import Letter
from relay.clock import from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from web.day_counts import What, count
from web.emptying import empty_erased, empty_unwanted
from web.letters import (
    DOORBELLS,
    STREAM,
    WAITS,
    WORDS_KEPT,
    Departure,
    Ending,
    Expected,
    HeldFor,
    Hold,
    Left,
    LetterRecord,
    NewLetter,
    PendingLetter,
)
from web.mailbox import mailbox_of
from web.network import Network
from web.replies import CLOSE_REPLY
from web.wall import ADD_POST, REMOVE_POST
from web.withheld_table import minute_of

NEVER: Final = 253_402_300_799_000
"""The last second of the year 9999, in milliseconds."""

_FOLDER: Final = Path(__file__).parent / "sql"
_ROUNDING: Final = 5 * 60 * 1000

_ADD_LETTER: Final = """
INSERT INTO web_letter (id, secret_hash, language, signature, created, rules, pair, wall)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING id
"""
_ADD_HANDOVER: Final = """
INSERT INTO web_handover (letter_id, due, attempts, held_until, held_for,
  sender, sender_name, recipient, subject, text, html, message, network, promised, place, waits_at, expected,
  answerable)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_ADD_SEALED: Final = "INSERT INTO web_sealed (letter_id, key_name, record) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_ADD_WAITING: Final = """
INSERT INTO web_waiting (letter_id, until, sender_name, subject, message) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_ADD_UNASKED: Final = "INSERT INTO web_unasked (letter_id) VALUES (?) ON CONFLICT DO NOTHING"
_FIND: Final = """
SELECT l.id, l.language, l.signature, l.created, l.message_id, l.refused, l.ending, l.ended, l.rules, l.reason,
  h.due, h.attempts, h.held_until, h.held_for, h.message, l.left_at, l.beside,
  l.withheld, h.expected, l.off_wall
FROM web_letter l LEFT JOIN web_handover h ON h.letter_id = l.id WHERE
"""
_TAKE: Final = """
UPDATE web_handover SET due = ?, attempts = attempts + 1
WHERE due <= ? AND letter_id IN (SELECT letter_id FROM web_handover WHERE due <= ? ORDER BY due, letter_id LIMIT ?)
RETURNING letter_id, attempts, sender, sender_name, recipient, subject, text, html, network,
  (SELECT created FROM web_letter WHERE id = letter_id),
  EXISTS (SELECT 1 FROM web_waiting w WHERE w.letter_id = web_handover.letter_id), erased,
  COALESCE(promised, 0), answerable, place IS NULL, held_until IS NOT NULL
"""
_CANCEL: Final = """
DELETE FROM web_handover WHERE letter_id = ? AND attempts = 0 AND due > ?
  AND EXISTS (SELECT 1 FROM web_letter WHERE id = letter_id AND ending IS NULL AND left_at IS NULL)
"""
_OVERDUE: Final = "SELECT letter_id, held_for, recipient FROM web_handover WHERE held_until <= ?"
_GIVE_BACK: Final = """
UPDATE web_handover SET held_until = NULL, held_for = NULL, sender_name = '', recipient = '', text = '', html = ''
WHERE letter_id = ? AND held_until <= ?
"""
_FAIL: Final = """
UPDATE web_handover SET held_until = NULL, held_for = NULL, due = CASE WHEN due < ? THEN due ELSE ? END
WHERE letter_id = ? AND held_until <= ?
"""
_SPOT: Final = "UPDATE web_handover SET place = ?, waits_at = ?, expected = ? WHERE letter_id = ?"
END_LETTER: Final = "UPDATE web_letter SET ending = ?, ended = ? WHERE id = ? AND message_id IS NULL"
_HANDED_OVER: Final = "UPDATE web_letter SET message_id = ?, left_at = ?, place = ? WHERE id = ?"
_FORGET_WORDS: Final = """
DELETE FROM web_handover WHERE due = ? AND held_until IS NULL
  AND letter_id IN (SELECT id FROM web_letter WHERE ending = ? AND ended < ?)
"""
_DISOWN_WORDS: Final = """
DELETE FROM web_handover WHERE letter_id = ? AND due = ? AND held_until IS NULL
  AND EXISTS (SELECT 1 FROM web_letter WHERE id = letter_id AND ending = ?)
"""
_DISOWN: Final = "UPDATE web_letter SET secret_hash = ?, reason = '' WHERE id = ?"
_FORGET: Final = """
DELETE FROM web_letter WHERE id IN (
  SELECT id FROM web_letter l WHERE created < ? AND message_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM web_handover h WHERE h.letter_id = l.id)
  AND NOT EXISTS (SELECT 1 FROM web_danger d WHERE d.letter_id = l.id AND d.closed IS NULL) LIMIT ?)
"""


class DatabaseLetterStore:
    """`LetterStore` over the relay's database object, in tables of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        await self._database.migrate("web", _FOLDER / self._database.dialect)

    async def add(self, letter: NewLetter, now: datetime, departure: Departure) -> bool:
        created = to_millis(now) // _ROUNDING * _ROUNDING
        rules = " ".join(departure.hold.rules) if departure.hold else ""
        offered = int(letter.wall_after is not None)
        known = (letter.id, letter.secret_hash, letter.language, letter.signature, created, rules, letter.pair, offered)
        leaves = now if _is_told(departure.hold) or departure.claimed else max(now, departure.due)
        until = to_millis(leaves + WAITS)
        waiting = (letter.id, until, letter.sender_name, letter.subject, letter.message)
        schedule = _schedule(departure)
        how = (letter.network.value, *_row(departure), int(letter.mail.answerable))
        handover = (letter.id, *schedule, *_content(letter, departure), *how)

        def work(connection: Connection) -> bool:
            if not list(connection.execute(_ADD_LETTER, known)):
                return False
            connection.execute(_ADD_HANDOVER, handover)
            count(connection, to_millis(now), What.LETTERS)
            if departure.hold is not None:
                count(connection, to_millis(now), What.HELD, departure.hold.why.value)
            if not departure.claimed:
                connection.execute(_ADD_UNASKED, (letter.id,))
            if letter.rings:
                connection.execute(_ADD_WAITING, waiting)
            if (post := _post(letter, now, departure)) is not None:
                connection.execute(ADD_POST, post)
            if letter.sealed is not None:
                connection.execute(_ADD_SEALED, (letter.id, letter.sealed.key, letter.sealed.data))
            if letter.over:
                empty_unwanted(connection, letter.id, letter.mail.recipient)
            return True

        return await self._database.write(work)

    async def knows(self, letter_id: str) -> bool:
        return bool(await rows_of(self._database, "SELECT 1 FROM web_letter WHERE id = ?", (letter_id,)))

    async def find(self, secret_hash: bytes) -> LetterRecord | None:
        rows = await rows_of(self._database, f"{_FIND} l.secret_hash = ?", (secret_hash,))
        return _record(rows[0]) if rows else None

    async def find_by_id(self, letter_id: str) -> LetterRecord | None:
        rows = await rows_of(self._database, f"{_FIND} l.id = ?", (letter_id,))
        return _record(rows[0]) if rows else None

    async def disown(self, letter_id: str, nobodys: bytes) -> None:
        words = (_DISOWN_WORDS, (letter_id, NEVER, Ending.RETURNED.value))
        deleted = (REMOVE_POST, (letter_id,)), (CLOSE_REPLY, (letter_id,))
        await change(self._database, (_DISOWN, (nobodys, letter_id)), words, *deleted)

    async def keep_off_wall(self, letter_id: str) -> None:
        # Both, so that what it was offered for is known, and what is shown already is gone at once.
        await change(
            self._database,
            ("UPDATE web_letter SET off_wall = 1 WHERE id = ?", (letter_id,)),
            (REMOVE_POST, (letter_id,)),
        )

    async def erase_recipient(self, address: str) -> int:
        mailbox = mailbox_of(address)

        def find(connection: Connection) -> list[str]:
            waiting = connection.execute("SELECT letter_id, recipient FROM web_handover")
            return [letter_id for letter_id, recipient in waiting if mailbox_of(recipient) == mailbox]

        def work(connection: Connection) -> None:
            for letter_id in theirs:
                empty_erased(connection, letter_id, address)

        # Looked for before the turn to write is taken: whoever holds a link may ask for this again and again.
        theirs = await self._database.read(find)
        if theirs:
            await self._database.write(work)
        return len(theirs)

    async def take_due(self, now: datetime, claim: timedelta, limit: int) -> list[PendingLetter]:
        moment = to_millis(now)
        # A look first: an idle front must not ask for the database's write lock every few seconds.
        if not await rows_of(self._database, "SELECT 1 FROM web_handover WHERE due <= ? LIMIT 1", (moment,)):
            return []
        bindings = (to_millis(now + claim), moment, moment, limit)
        rows = await self._database.write(lambda connection: list(connection.execute(_TAKE, bindings)))
        # By id, not in the order in which they came, which would be that in which they were written.
        return sorted((_pending(row) for row in rows), key=lambda letter: letter.id)

    async def postpone(self, letter_id: str, due: datetime) -> None:
        await change(
            self._database, ("UPDATE web_handover SET due = ? WHERE letter_id = ?", (to_millis(due), letter_id))
        )

    async def wait(self, letter_id: str, due: datetime, expected: Expected | None = None) -> None:
        sql = "UPDATE web_handover SET due = ?, attempts = 0 WHERE letter_id = ?"
        asked = ("UPDATE web_waiting SET until = ? WHERE letter_id = ?", (to_millis(due + WAITS), letter_id))
        spot = [(_SPOT, (*_expected(expected), letter_id))] if expected else []
        await change(self._database, (sql, (to_millis(due), letter_id)), asked, *spot)

    async def note_handed_over(self, letter_id: str, message_id: str, left: Left) -> None:
        noted = (message_id, minute_of(left.at), left.place, letter_id)
        await change(
            self._database, (_HANDED_OVER, noted), ("DELETE FROM web_handover WHERE letter_id = ?", (letter_id,))
        )

    async def cancel(self, letter_id: str, now: datetime) -> bool:
        moment = to_millis(now)

        def work(connection: Connection) -> bool:
            connection.execute(_CANCEL, (letter_id, moment))
            if not connection.changes():
                return False
            connection.execute(END_LETTER, (Ending.CANCELLED.value, moment, letter_id))
            return True

        return await self._database.write(work)

    async def end_holds(self, now: datetime) -> int:
        moment = to_millis(now)
        if not await rows_of(self._database, f"{_OVERDUE} LIMIT 1", (moment,)):
            return 0

        def work(connection: Connection) -> int:
            returned = 0
            for letter_id, why, recipient in list(connection.execute(_OVERDUE, (moment,))):
                is_told = HeldFor(why).is_told
                ends = (_GIVE_BACK, (letter_id, moment)) if is_told else (_FAIL, (NEVER, moment, letter_id, moment))
                connection.execute(*ends)
                if not connection.changes():
                    continue  # let go in the same moment: it keeps what it needs to leave
                if is_told:
                    connection.execute(END_LETTER, (Ending.RETURNED.value, moment, letter_id))
                else:
                    empty_erased(connection, letter_id, recipient)
                returned += 1
            return returned

        return await self._database.write(work)

    async def forget(self, now: datetime, before: datetime, limit: int) -> int:
        def work(connection: Connection) -> int:
            connection.execute(_FORGET_WORDS, (NEVER, Ending.RETURNED.value, to_millis(now - WORDS_KEPT)))
            connection.execute(_FORGET, (to_millis(before), limit))
            return connection.changes()

        return await self._database.write(work)


def _post(letter: NewLetter, now: datetime, departure: Departure) -> tuple[Any, ...] | None:
    """What is kept for the wall. None for a letter that is not offered, nobody asks about, or must be asked for:

    whether the last is ever read is told to nobody.
    """
    if letter.wall_after is None or letter.rings:
        return None
    return (letter.id, letter.language, letter.signature, to_millis(now + letter.wall_after), letter.message)


def _schedule(departure: Departure) -> tuple[Any, ...]:
    hold = departure.hold
    if hold is None:
        return (to_millis(departure.due), int(departure.claimed), None, None)
    due = NEVER if _is_told(hold) else to_millis(departure.due)
    return (due, 0, to_millis(hold.until), hold.why.value)


def _is_told(hold: Hold | None) -> bool:
    """Whether its writer reads that it is held."""
    return hold is not None and hold.why.is_told


def _row(departure: Departure) -> tuple[Any, ...]:
    """From when on a letter is late, which is where it stands in the row; one that is held stands in none.

    Unless nothing is told of that: then it stands there as any other.
    """
    if _is_told(departure.hold):
        return (NEVER, None, None, None)
    return (to_millis(departure.wished or departure.due), *_expected(departure.expected or Expected("")))


def _expected(expected: Expected) -> tuple[Any, ...]:
    spot = expected.spot
    return (expected.place, spot.waits_at, to_millis(spot.departs)) if spot else (expected.place, None, None)


def _content(letter: NewLetter, departure: Departure) -> tuple[Any, ...]:
    mail = letter.mail
    # What waits for a person may have to go back; of everything else the mail's text has the words already.
    words = letter.message if departure.hold is not None else ""
    return (mail.sender, mail.sender_name, mail.recipient, mail.subject, mail.text, mail.html, words)


def _record(row: tuple[Any, ...]) -> LetterRecord:
    letter_id, language, signature, created, message_id, refused, ending, ended, rules, reason = row[:10]
    due, attempts, held_until, held_for, message, left, beside, withheld, expected, off_wall = row[10:]
    ruled = tuple(rules.split())
    given_back = ending == Ending.RETURNED.value
    return LetterRecord(
        id=letter_id,
        language=language,
        signature=signature,
        created=from_millis(created),
        message_id=message_id,
        refused=bool(refused),
        due=None if due is None or due == NEVER else from_millis(due),
        attempts=attempts or 0,
        expected=None if expected is None else from_millis(expected),
        hold=None if held_until is None else Hold(from_millis(held_until), HeldFor(held_for), ruled),
        ending=Ending(ending) if ending else None,
        ended=None if ended is None else from_millis(ended),
        rules=ruled,
        reason=reason,
        words=message or "" if given_back else "",
        left=None if left is None else from_millis(left),
        beside=beside,
        is_withheld=withheld is not None,
        off_wall=bool(off_wall),
    )


def _pending(row: tuple[Any, ...]) -> PendingLetter:
    letter_id, attempts, sender, sender_name, recipient, subject, text, html, network, created, rings = row[:11]
    erased, wished, answerable, has_place, held = row[11:]
    mail = Letter(
        sender=sender,
        sender_name=sender_name,
        recipient=recipient,
        subject=subject,
        text=text,
        html=html,
        stream=DOORBELLS if rings else STREAM,
        idempotency_key=letter_id,
        answerable=bool(answerable),
    )
    return PendingLetter(
        mail,
        attempts,
        from_millis(created),
        Network(network),
        from_millis(wished),
        has_place=bool(has_place),
        erased=bool(erased),
        held=bool(held),
    )
