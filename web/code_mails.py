"""Mails that bring a writer their code: handed to the relay, and erased from it when they are an hour old."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from relay.client.contract import Letter, LetterAccepted, RelayClient
from relay.clock import Clock, to_millis
from relay.database.contract import Database
from relay.database.statements import change, rows_of
from relay.log import Log

ERASED_AFTER: Final = timedelta(hours=1)
_BATCH: Final = 100
_TIMEOUT: Final = 10.0
_ROUND_SECONDS: Final = 20.0
_OLD: Final = """
SELECT at, message_id FROM web_confirmation WHERE at < ? AND (at, message_id) > (?, ?) ORDER BY at, message_id LIMIT ?
"""

_log = Log("front")


class CodeMails:
    """Keeps the ids of these mails, and nothing of who got them. Raises SpoolUnavailableError."""

    def __init__(self, relay: RelayClient, database: Database, clock: Clock) -> None:
        self._relay = relay
        self._database = database
        self._clock = clock

    async def send(self, mail: Letter) -> None:
        """Hand it over; what the relay refuses is in the log alone. Raises ValueError for what is no address."""
        answer = await self._relay.submit(mail)
        if not isinstance(answer, LetterAccepted):
            _log.warning("confirmation-not-sent", why="the relay did not take it")
            return
        sql = "INSERT INTO web_confirmation (message_id, at) VALUES (?, ?) ON CONFLICT DO NOTHING"
        await change(self._database, (sql, (answer.id, to_millis(self._clock.now()))))

    async def forget(self) -> None:
        """Erase from the relay what it holds of those that are old enough, the oldest first, for some seconds.

        Raises TimeoutError. One that the relay cannot forget yet keeps up no other.
        """
        before, end = to_millis(self._clock.now() - ERASED_AFTER), self._clock.monotonic() + _ROUND_SECONDS
        last = (-1, "")
        while self._clock.monotonic() < end and (mails := await rows_of(self._database, _OLD, (before, *last, _BATCH))):
            last = mails[-1]
            gone = [(message,) for _, message in mails if await self._forgets(message)]
            await self._drop(gone)

    async def _forgets(self, message: str) -> bool:
        async with asyncio.timeout(_TIMEOUT):
            return await self._relay.forget(message)

    async def _drop(self, gone: list[tuple[str]]) -> None:
        if gone:
            sql = "DELETE FROM web_confirmation WHERE message_id = ?"
            await self._database.write(lambda connection: connection.executemany(sql, gone))
