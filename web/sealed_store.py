"""The table of sealed sender records: until when each is kept, and how one is sealed anew for a case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from relay.clock import Clock
from relay.database.contract import Connection, Database
from web.audit import Audit, Disclosure
from web.sealing import CASE_PREFIX, Sealed, oldest_kept

_FORGOTTEN: Final = """
SELECT letter_id FROM web_sealed s WHERE key_name < ? AND key_name NOT LIKE ?
AND NOT EXISTS (SELECT 1 FROM web_danger d WHERE d.letter_id = s.letter_id AND d.closed IS NULL)
AND NOT EXISTS (SELECT 1 FROM web_legal_request r WHERE r.letter_id = s.letter_id AND r.closed IS NULL) LIMIT ?
"""
FIND: Final = "SELECT key_name, record FROM web_sealed WHERE letter_id = ?"
REPLACE: Final = "UPDATE web_sealed SET key_name = ?, record = ? WHERE letter_id = ?"


class SealedStore:
    """Sealed records in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._audit = Audit(database, clock)

    async def find(self, letter_id: str) -> Sealed | None:
        """The record of a letter."""
        rows = await self._rows(FIND, (letter_id,))
        return Sealed(rows[0][0], bytes(rows[0][1])) if rows else None

    async def letter_of_message(self, message_id: str) -> str | None:
        """The letter that the relay has under `message_id`."""
        rows = await self._rows("SELECT id FROM web_letter WHERE message_id = ?", (message_id,))
        return str(rows[0][0]) if rows else None

    async def reseal(self, disclosure: Disclosure, sealed: Sealed) -> int:
        """Keep a record under a case's key, and the audit entry with it; its number."""

        def work(connection: Connection) -> int:
            connection.execute(REPLACE, (sealed.key, sealed.data, disclosure.letter_id))
            return self._audit.write(connection, disclosure)

        return await self._database.write(work)

    async def forget(self, limit: int = 500) -> int:
        """Delete up to `limit` records whose month is over; how many it were. Those of a case, and of a letter whose
        case is open at the desk, stay.
        """
        bindings = (oldest_kept(self._clock.now()), f"{CASE_PREFIX}%", limit)
        old = await self._rows(_FORGOTTEN, bindings)
        if old:
            delete = "DELETE FROM web_sealed WHERE letter_id = ?"
            await self._database.write(lambda connection: connection.executemany(delete, old))
        return len(old)

    async def _rows(self, sql: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda connection: list(connection.execute(sql, bindings)))
