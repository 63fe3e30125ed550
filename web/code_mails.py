"""Mails that bring a writer their code: handed to the relay, and erased from it when they are an hour old.

That one may be there is noted before it is handed over, by its idempotency key, and its id after: whoever dies in
between leaves a key by which the relay forgets it. The same mail that is asked for again within an hour is one mail; an
hour later it is another with the same code, since the first may not have come.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

from relay.client.contract import Letter, LetterAccepted, RelayClient
from relay.clock import Clock, to_millis
from relay.database.contract import Database
from relay.database.statements import change, rows_of
from relay.log import Log
from web.forgetting import forget_handed

ERASED_AFTER: Final = timedelta(hours=1)
KEYED: Final = "confirm-"
"""How the idempotency keys of these mails begin, and no id of the relay does."""

_BATCH: Final = 100
_TIMEOUT: Final = 10.0
_ROUND_SECONDS: Final = 20.0
_OLD: Final = """
SELECT at, message_id FROM web_confirmation WHERE at < ? AND (at, message_id) > (?, ?) ORDER BY at, message_id LIMIT ?
"""
_NOTE: Final = "INSERT INTO web_confirmation (message_id, at) VALUES (?, ?) ON CONFLICT DO NOTHING"
"""By what the relay knows a mail: its key, and then its id."""
_DROP: Final = "DELETE FROM web_confirmation WHERE message_id = ?"

_log = Log("front")


class CodeMails:
    """Keeps keys and ids of these mails, and nothing of who got them. Raises SpoolUnavailableError."""

    def __init__(self, relay: RelayClient, database: Database, clock: Clock) -> None:
        self._relay = relay
        self._database = database
        self._clock = clock

    async def send(self, mail: Letter) -> None:
        """Hand it over; what the relay refuses is in the log alone. Raises ValueError for what is no address."""
        now = self._clock.now()
        key, at = f"{mail.idempotency_key}-{now:%Y%m%d%H}", to_millis(now)
        await change(self._database, (_NOTE, (key, at)))
        answer = await self._relay.submit(replace(mail, idempotency_key=key))
        if not isinstance(answer, LetterAccepted):
            _log.warning("confirmation-not-sent", why="the relay did not take it")
            await change(self._database, (_DROP, (key,)))
            return
        await change(self._database, (_NOTE, (answer.id, at)), (_DROP, (key,)))

    async def forget(self) -> None:
        """Erase from the relay what it holds of those that are old enough, the oldest first, for some seconds.

        Raises TimeoutError. One that the relay cannot forget yet keeps up no other.
        """
        before, end = to_millis(self._clock.now() - ERASED_AFTER), self._clock.monotonic() + _ROUND_SECONDS
        last = (-1, "")
        while self._clock.monotonic() < end and (mails := await rows_of(self._database, _OLD, (before, *last, _BATCH))):
            last = mails[-1]
            gone = [(name,) for _, name in mails if await self._forgets(name)]
            await self._drop(gone)

    async def _forgets(self, name: str) -> bool:
        async with asyncio.timeout(_TIMEOUT):
            return await forget_handed(self._relay, name, KEYED)

    async def _drop(self, gone: list[tuple[str]]) -> None:
        if gone:
            await self._database.write(lambda connection: connection.executemany(_DROP, gone))
