"""The table side of letters that will not arrive and of which that is not told yet; and what left beside them.

Beside `web.withholding`, which decides. A letter is withheld in the transaction that deletes its address and words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from web.letters import WAITS, Left

_MINUTE: Final = 60_000
_WITHHOLD: Final = """
UPDATE web_letter SET withheld = ?, place = ?, left_at = COALESCE(left_at, ?), beside = COALESCE(beside,
  (SELECT o.message_id FROM web_letter o WHERE o.message_id IS NOT NULL AND o.left_at <= ?
   ORDER BY o.left_at DESC, o.id LIMIT 1))
WHERE id = ? AND message_id IS NULL
"""
_DELAY: Final = """
UPDATE web_letter SET left_at = COALESCE(left_at, ?), beside = COALESCE(beside,
  (SELECT o.message_id FROM web_letter o WHERE o.message_id IS NOT NULL AND o.left_at <= ?
   ORDER BY o.left_at DESC, o.id LIMIT 1))
WHERE id = ?
"""
# In its writer's eyes it has left, so it stands before nobody, and no page counts it among those that are late.
_PUT_OFF: Final = "UPDATE web_handover SET due = ?, promised = ?, attempts = 0, place = NULL WHERE letter_id = ?"
_WITHDRAWN: Final = "UPDATE web_letter SET withheld = ? WHERE id = ? AND withheld IS NULL AND refused = 0"
_OPEN: Final = """
SELECT id, withheld, left_at, place FROM web_letter
WHERE withheld IS NOT NULL AND id > ? ORDER BY id LIMIT ?
"""
_ONE: Final = "SELECT id, withheld, left_at, place FROM web_letter WHERE id = ? AND withheld IS NOT NULL"
_LEFT: Final = "SELECT message_id, left_at FROM web_letter WHERE message_id IS NOT NULL AND place = ? AND id <> ?"
_BESIDE: Final = (
    "AND left_at <= ? ORDER BY left_at DESC, id LIMIT ?",
    "AND left_at > ? ORDER BY left_at, id LIMIT ?",
    "AND left_at >= ? ORDER BY left_at DESC, id LIMIT ?",
)
"""Those before a letter, those after it, the latest of all."""
_REFUSED_FOR_NOW: Final = """
SELECT 1 FROM web_handover WHERE attempts > 1 AND held_until IS NULL
  AND NOT EXISTS (SELECT 1 FROM web_letter WHERE message_id IS NOT NULL AND left_at >= ?) LIMIT 1
"""
_NEIGHBOURS: Final = 4


@dataclass(frozen=True, slots=True)
class Withheld:
    """A letter that will not arrive: known `since` then, for the place with this hash, `left` in its writer's eyes."""

    id: str
    since: datetime
    left: datetime
    place: bytes | None


class WithheldTable:
    """Raises SpoolUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def withhold(self, letter_id: str, left: Left) -> None:
        """It will never arrive: forget recipient and text. A hand-over that another process has noted stands."""
        at, minute = to_millis(left.at), minute_of(left.at)
        values = (at, left.place, minute, minute, letter_id)
        await change(
            self._database, (_WITHHOLD, values), ("DELETE FROM web_handover WHERE letter_id = ?", (letter_id,))
        )

    async def delay(self, letter_id: str, due: datetime, left: Left) -> None:
        """Its recipient gets no mail for now: ask again at `due`. To its writer it looks as if it had left.

        One that rings waits to be asked for as long after that as any other.
        """
        minute = minute_of(left.at)
        await change(
            self._database,
            (_DELAY, (minute, minute, letter_id)),
            (_PUT_OFF, (to_millis(due), to_millis(due), letter_id)),
            ("UPDATE web_waiting SET until = ? WHERE letter_id = ?", (to_millis(due + WAITS), letter_id)),
        )

    async def note_withdrawn(self, letter_id: str, since: datetime) -> None:
        """The relay has it and will not deliver it, since its recipient wants none or was erased."""
        await change(self._database, (_WITHDRAWN, (to_millis(since), letter_id)))

    async def find(self, letter_id: str) -> Withheld | None:
        """One of which nothing is told yet."""
        rows = await rows_of(self._database, _ONE, (letter_id,))
        return _withheld(rows[0]) if rows else None

    async def ended(self, letter_id: str) -> datetime | None:
        """When one failed that has."""
        rows = await rows_of(self._database, "SELECT ended FROM web_letter WHERE id = ? AND refused = 1", (letter_id,))
        return from_millis(rows[0][0]) if rows and rows[0][0] is not None else None

    async def open(self, after: str, limit: int) -> list[Withheld]:
        """Those of which nothing is told yet, by id, after one; an order that what is done about them never changes."""
        return [_withheld(row) for row in await rows_of(self._database, _OPEN, (after, limit))]

    async def beside(self, letter: Withheld, earliest: datetime) -> list[tuple[str, datetime]]:
        """The relay's ids of letters for its place that left around this one, or lately, and when."""
        moments = (to_millis(letter.left), to_millis(letter.left), to_millis(earliest))

        def work(connection: Connection) -> dict[str, int]:
            found: dict[str, int] = {}
            for which, moment in zip(_BESIDE, moments, strict=True):
                found.update(connection.execute(f"{_LEFT} {which}", (letter.place, letter.id, moment, _NEIGHBOURS)))
            return found

        found = await self._database.read(work)
        return [(message_id, at) for message_id, left in found.items() if (at := from_millis(left)) >= earliest]

    async def is_refused_for_now(self, since: datetime) -> bool:
        """Whether the relay puts off taking letters, and has taken none `since` then."""
        return bool(await rows_of(self._database, _REFUSED_FOR_NOW, (to_millis(since),)))

    async def put_off(self, letter_id: str, since: datetime) -> None:
        """Nothing of its place is answered just now: it fails no sooner than `since`."""
        sql = "UPDATE web_letter SET withheld = ? WHERE id = ? AND withheld IS NOT NULL"
        await change(self._database, (sql, (to_millis(since), letter_id)))

    async def end(self, letter_id: str, ended: datetime) -> None:
        """It failed then; what its page tells follows from that."""
        sql = "UPDATE web_letter SET refused = 1, ended = ?, withheld = NULL WHERE id = ?"
        await change(self._database, (sql, (to_millis(ended), letter_id)))


def minute_of(moment: datetime) -> int:
    """What is kept of the moment a letter left, in milliseconds."""
    return to_millis(moment) // _MINUTE * _MINUTE


def _withheld(row: tuple[Any, ...]) -> Withheld:
    letter_id, since, left, place = row
    return Withheld(letter_id, from_millis(since), from_millis(since if left is None else left), place)
