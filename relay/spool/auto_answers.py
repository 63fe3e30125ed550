"""Who was answered by a program, as keyed hashes: the right to answer an address, once in a time, for one mail.

The right belongs to the item of inbound mail that asked first; the same item gets it again, so that a worker that died
between this and the answer's commit can be followed by another. In SQL that every database knows.
"""

from __future__ import annotations

from datetime import timedelta

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database


class AutoAnswers:
    """Over the spool's database, after its migrations."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def may_answer(self, address: bytes, item: int, once_in: timedelta) -> bool:
        """Whether `item` may answer the address of this hash: no other one did within `once_in`.

        Raises SpoolUnavailableError, SpoolFullError.
        """
        now = self._clock.now()

        def work(connection: Connection) -> bool:
            forgotten = to_millis(now - once_in)
            list(connection.execute("DELETE FROM auto_answer WHERE at <= ?", (forgotten,)))
            list(
                connection.execute(
                    "INSERT INTO auto_answer (address, at, item) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (address, to_millis(now), item),
                )
            )
            rows = list(connection.execute("SELECT item FROM auto_answer WHERE address = ?", (address,)))
            return bool(rows) and rows[0][0] == item

        return await self._database.write(work)
