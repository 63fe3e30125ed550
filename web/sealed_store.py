"""The table of sealed sender records: until when each is kept, and how one is sealed anew for a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from relay.clock import Clock
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from web.audit import EXPORT, Audit, ChainLink, Disclosure, read_chain, read_entry
from web.opening_note import BrokenNoteError, OpeningNote
from web.sealing import CASE_PREFIX, Sealed, oldest_kept

_FORGOTTEN: Final = """
SELECT letter_id FROM web_sealed s WHERE key_name < ? AND key_name NOT LIKE ?
AND NOT EXISTS (SELECT 1 FROM web_danger d WHERE d.letter_id = s.letter_id AND d.closed IS NULL)
AND NOT EXISTS (SELECT 1 FROM web_legal_request r WHERE r.letter_id = s.letter_id AND r.closed IS NULL) LIMIT ?
"""
_FIND: Final = "SELECT key_name, record FROM web_sealed WHERE letter_id = ?"
_OPENING: Final = ("action", "letter", "case", "by", "record", "export", "done")
"""By what in an entry the opening of an exported record is known."""
_KEEP: Final = """
INSERT INTO web_sealed (letter_id, key_name, record) VALUES (?, ?, ?)
ON CONFLICT (letter_id) DO UPDATE SET key_name = excluded.key_name, record = excluded.record
"""
_DELETE: Final = "DELETE FROM web_sealed WHERE letter_id = ? AND key_name = ?"
_WANTED: Final = """
SELECT case_id FROM web_danger WHERE letter_id = ? AND closed IS NULL
UNION SELECT case_number FROM web_legal_request WHERE letter_id = ? AND closed IS NULL ORDER BY 1
"""
_REPLACE: Final = "UPDATE web_sealed SET key_name = ?, record = ? WHERE letter_id = ?"


class SealedStore:
    """Sealed records in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._audit = Audit(database, clock)

    async def find(self, letter_id: str) -> Sealed | None:
        """The record of a letter."""
        rows = await rows_of(self._database, _FIND, (letter_id,))
        return Sealed(rows[0][0], bytes(rows[0][1])) if rows else None

    async def letter_of_message(self, message_id: str) -> str | None:
        """The letter that the relay has under `message_id`."""
        rows = await rows_of(self._database, "SELECT id FROM web_letter WHERE message_id = ?", (message_id,))
        return str(rows[0][0]) if rows else None

    async def reseal(self, disclosure: Disclosure, sealed: Sealed) -> int:
        """Keep a record under a case's key, and the audit entry with it; its number.

        Though its month may have ended since it was found.
        """

        def work(connection: Connection) -> int:
            connection.execute(_KEEP, (disclosure.letter_id, sealed.key, sealed.data))
            return self._audit.write(connection, disclosure)

        return await self._database.write(work)

    async def wanted_by(self, letter_id: str) -> list[str]:
        """The open cases that need the record of a letter: requests of authorities, and a threat to life."""
        return await self._database.read(lambda connection: _wanted_by(connection, letter_id))

    async def delete(self, disclosure: Disclosure) -> int | None:
        """Delete a record that was kept for its case; the audit entry's number, None if none is kept for that case, or
        an open one still needs it.
        """
        key = f"{CASE_PREFIX}{disclosure.case}"

        def work(connection: Connection) -> int | None:
            if _wanted_by(connection, disclosure.letter_id):
                return None
            connection.execute(_DELETE, (disclosure.letter_id, key))
            return self._audit.write(connection, disclosure) if connection.changes() else None

        return await self._database.write(work)

    async def export(self, asked: Sequence[Disclosure]) -> tuple[dict[str, Sealed], list[ChainLink]]:
        """The records that are here of those asked for, by letter; an audit entry for each, and the audit with them.

        The entries are there before anything leaves, and name each record by its SHA-256.
        """

        def work(connection: Connection) -> tuple[dict[str, Sealed], list[ChainLink]]:
            found: dict[str, Sealed] = {}
            for one in asked:
                for key, data in list(connection.execute(_FIND, (one.letter_id,))):
                    sealed = found[one.letter_id] = Sealed(key, bytes(data))
                    details = {**one.details, "record": sealed.digest, "key": key}
                    self._audit.write(connection, replace(one, action=EXPORT, details=details))
            return found, read_chain(connection)

        return await self._database.write(work)

    async def bring_back(self, note: OpeningNote, digest: str, actor: str) -> tuple[int, bool]:
        """The audit entry of what was done with an exported record, by its number, and whether it is new.

        `digest` is the SHA-256 of the note's file. An opening is entered once, however its note is written. What was
        sealed anew takes its record's place. Raises BrokenNoteError if the audit has no such export, another record
        took that place meanwhile, or what would take it is none.
        """
        said = note.disclosure

        def work(connection: Connection) -> tuple[int, bool]:
            # Two who bring the same note at once would each find that nobody has.
            self._audit.take_turn(connection)
            entries = [(link.n, read_entry(link.entry)) for link in read_chain(connection)]
            done = note.at.isoformat(timespec="milliseconds")
            details = {"record": note.record, "export": note.export, "note": digest, "done": done, "brought_by": actor}
            told = (said.action, said.letter_id, said.case, said.actor, note.record, note.export, done)
            for n, entry in entries:
                if entry.get("note") == digest or tuple(entry.get(name) for name in _OPENING) == told:
                    return n, False
            sought = (EXPORT, said.letter_id, said.case, said.basis, note.record)
            names = ("action", "letter", "case", "basis", "record")
            if not any(tuple(entry.get(name) for name in names) == sought for _, entry in entries):
                raise BrokenNoteError(f"the audit has no export of this record for case {said.case}")
            if note.resealed is not None:
                kept = [Sealed(key, bytes(data)) for key, data in connection.execute(_FIND, (said.letter_id,))]
                if [one.digest for one in kept] != [note.record]:
                    raise BrokenNoteError("the record that was sealed anew is no longer here as it was exported")
                if len(note.resealed.data) != len(kept[0].data):
                    raise BrokenNoteError("what it brings is no sealed record: those have one length")
                connection.execute(_REPLACE, (note.resealed.key, note.resealed.data, said.letter_id))
            return self._audit.write(connection, replace(said, details=details)), True

        return await self._database.write(work)

    async def forget(self, limit: int = 500) -> int:
        """Delete up to `limit` records whose month is over; how many it were. Those of a case, and of a letter whose
        case is open at the desk, stay.
        """
        bindings = (oldest_kept(self._clock.now()), f"{CASE_PREFIX}%", limit)
        old = await rows_of(self._database, _FORGOTTEN, bindings)
        if old:
            delete = "DELETE FROM web_sealed WHERE letter_id = ?"
            await self._database.write(lambda connection: connection.executemany(delete, old))
        return len(old)


def _wanted_by(connection: Connection, letter_id: str) -> list[str]:
    return [str(case) for (case,) in connection.execute(_WANTED, (letter_id, letter_id))]
