"""What left is forgotten at the relay before it is forgotten here: nobody's address outlives its letter or question.

Stands beside the courier's hourly forgetting, which takes letters that no relay knows. A relay that is away is asked
again an hour later, and the row stays until then.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from relay.client.contract import RelayAwayError, RelayClient
from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.log import Log
from web.weekly_store import KEYED, WeeklyStore

_BATCH: Final = 200
_TIMEOUT: Final = 30.0
_ROUND_SECONDS: Final = 60.0
"""For so long letters that want to leave wait for these at most; the rest is forgotten an hour later."""
_OLD: Final = """
SELECT created, id, message_id FROM web_letter l WHERE created < ? AND (created, id) > (?, ?)
  AND message_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM web_handover h WHERE h.letter_id = l.id)
  AND NOT EXISTS (SELECT 1 FROM web_danger d WHERE d.letter_id = l.id AND d.closed IS NULL) ORDER BY created, id LIMIT ?
"""
_log = Log("front")


class LetterForgetter:
    """Forgets letters `kept` after they were written. Raises SpoolUnavailableError."""

    def __init__(self, relay: RelayClient, database: Database, clock: Clock, kept: timedelta) -> None:
        self._relay = relay
        self._database = database
        self._clock = clock
        self._kept = kept

    async def forget(self) -> None:
        """Everything that is old enough, as far as the relay can be asked and a minute goes; oldest first."""
        before = to_millis(self._clock.now() - self._kept)
        end = self._clock.monotonic() + _ROUND_SECONDS
        last = (-1, "")
        while self._clock.monotonic() < end and (letters := await self._old(before, last)):
            gone = []
            try:
                for created, letter_id, message_id in letters:
                    last = (created, letter_id)
                    async with asyncio.timeout(_TIMEOUT):
                        # What is left of a mail that others share, or that is still under way, is asked for again.
                        if await self._relay.forget(message_id):
                            gone.append(letter_id)
            except (RelayAwayError, TimeoutError) as error:
                _log.warning("forgetting-waits", why=str(error) or "timed out")
                await self._drop(gone)
                return
            await self._drop(gone)

    async def _old(self, before: int, last: tuple[int, str]) -> list[tuple[Any, ...]]:
        """Those after `last`: what the relay cannot forget yet keeps up no other."""
        bindings = (before, *last, _BATCH)
        return await rows_of(self._database, _OLD, bindings)

    async def _drop(self, letters: list[str]) -> None:
        def work(connection: Connection) -> None:
            connection.executemany("DELETE FROM web_letter WHERE id = ?", [(one,) for one in letters])

        if letters:
            await self._database.write(work)


class QuestionForgetter:
    """Forgets the weekly's questions once they were answered, or can be no more. Raises SpoolUnavailableError."""

    def __init__(self, relay: RelayClient, store: WeeklyStore, clock: Clock) -> None:
        self._relay = relay
        self._store = store
        self._clock = clock

    async def forget(self) -> None:
        """Mail by mail, for a minute; one that is still under way is asked for again an hour later."""
        end, last = self._clock.monotonic() + _ROUND_SECONDS, (b"", "")
        while self._clock.monotonic() < end and (asked := await self._store.answered_questions(last, _BATCH)):
            for last in asked:
                mailbox, message_id = last
                try:
                    async with asyncio.timeout(_TIMEOUT):
                        gone = not message_id or await forget_handed(self._relay, message_id, KEYED)
                except (RelayAwayError, TimeoutError) as error:
                    _log.warning("forgetting-waits", why=str(error) or "timed out")
                    return
                if gone:
                    await self._store.forget_question(mailbox, message_id)


async def forget_handed(relay: RelayClient, name: str, keyed: str) -> bool:
    """Forget a mail at the relay that is known by its id, or by the key that begins with `keyed`; True once it is gone.

    Of a key that a relay is too old to be asked for nothing is known: it is asked again.
    """
    message_id = await relay.handed(name) if name.startswith(keyed) else name
    return message_id is not None and (not message_id or await relay.forget(message_id))
