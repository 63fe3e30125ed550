"""What each way to a person was told, in the database: one node of many makes a call, and a restart repeats none.

A call is taken before it is made and written down after it: a node that dies in between leaves it to be made again
when its time is over. So each is told once, and twice only by a crash.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.policy.calling import LONGEST_PAUSE, Call, Key, Told

TAKEN: Final = timedelta(minutes=2)
"""How long a call that was taken is nobody else's."""


class CallBook:
    """The calls of all ways."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def told(self, way: str) -> dict[Key, Told]:
        """What a way was told. Raises SpoolUnavailableError."""
        query = "SELECT kind, subject, since, evidence, told, ended, failures, next_at FROM called WHERE way = ?"
        rows = await rows_of(self._database, query, (way,))
        return {
            (kind, subject): Told(
                from_millis(since),
                evidence,
                None if at is None else from_millis(at),
                None if ended is None else from_millis(ended),
                failures,
                from_millis(next_at),
            )
            for kind, subject, since, evidence, at, ended, failures, next_at in rows
        }

    async def take(self, way: str, call: Call, now: datetime) -> bool:
        """Keep others from making a call; False if somebody else has it."""
        until, at = to_millis(now + TAKEN), to_millis(now)
        free = (at, to_millis(now + LONGEST_PAUSE))  # later: by a clock that was set back since

        def work(connection: Connection) -> bool:
            if call.ended is None:
                connection.execute(
                    "INSERT INTO called (way, kind, subject, since, evidence, next_at) VALUES (?, ?, ?, ?, ?, ?)"
                    " ON CONFLICT (way, kind, subject) DO UPDATE SET since = excluded.since,"
                    " evidence = excluded.evidence, told = NULL, ended = NULL, next_at = excluded.next_at"
                    " WHERE called.next_at <= ? OR called.next_at > ?",
                    (way, call.kind, call.subject, to_millis(call.since), call.evidence, until, *free),
                )
            else:
                connection.execute(
                    "UPDATE called SET ended = coalesce(ended, ?), next_at = ?"
                    " WHERE way = ? AND kind = ? AND subject = ? AND told IS NOT NULL"
                    " AND (next_at <= ? OR next_at > ?)",
                    (to_millis(call.ended), until, way, call.kind, call.subject, *free),
                )
            return connection.changes() == 1

        return await self._database.write(work)

    async def made(self, way: str, call: Call, now: datetime) -> None:
        """The person was told."""
        at = to_millis(now)

        def work(connection: Connection) -> None:
            if call.ended is not None:
                self._forget(connection, way, [(call.kind, call.subject)])
            else:
                connection.execute(
                    "UPDATE called SET told = ?, failures = 0, next_at = ? WHERE way = ? AND kind = ? AND subject = ?",
                    (at, at, way, call.kind, call.subject),
                )

        await self._database.write(work)

    async def failed(self, way: str, call: Call, next_at: datetime) -> None:
        """Nobody was told; again at `next_at`."""
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE called SET failures = failures + 1, next_at = ? WHERE way = ? AND kind = ? AND subject = ?",
                (to_millis(next_at), way, call.kind, call.subject),
            )
        )

    async def forget(self, way: str, keys: Iterable[Key]) -> None:
        """What ended before anybody was told, or too long ago."""
        rows = list(keys)
        if rows:
            await self._database.write(lambda connection: self._forget(connection, way, rows))

    @staticmethod
    def _forget(connection: Connection, way: str, keys: Iterable[Key]) -> None:
        for kind, subject in keys:
            connection.execute("DELETE FROM called WHERE way = ? AND kind = ? AND subject = ?", (way, kind, subject))
