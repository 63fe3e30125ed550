"""Whether whoever was written to wants letters: asked of each letter as soon as it is kept, and again at its departure.

Beside the courier's rounds, seconds after a letter was sent: before a person reads it and before it leaves, and never
while its writer waits for an answer, which would come later for one than for another. What is known then shows
nowhere: an unwanted letter goes on as any other and is withheld at its departure (decision 10). But nothing that can be
read of it waits until then, so that of who refuses letters nothing is kept but the hash of the refusal.
"""

from __future__ import annotations

from typing import Final

from relay.clock import Clock
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from web.emptying import empty_unwanted
from web.errands import Errands

_BATCH: Final = 100
_AT_ONCE: Final = 8
_ROUND_SECONDS: Final = 10.0
_NEXT: Final = """
SELECT u.letter_id, COALESCE(h.recipient, '') FROM web_unasked u
LEFT JOIN web_handover h ON h.letter_id = u.letter_id AND h.erased = 0
WHERE u.letter_id > ? ORDER BY u.letter_id LIMIT ?
"""
_ASKED: Final = "DELETE FROM web_unasked WHERE letter_id = ?"


class Wishes:
    """Asks. Raises SpoolUnavailableError: the rest is asked in the next round."""

    def __init__(self, errands: Errands, database: Database, clock: Clock) -> None:
        self._errands = errands
        self._database = database
        self._clock = clock

    async def look(self) -> None:
        """Ask about every letter of which nobody has, for some seconds; one that a relay cannot tell of now stays, and
        keeps up no other.
        """
        end, last = self._clock.monotonic() + _ROUND_SECONDS, ""
        while letters := await rows_of(self._database, _NEXT, (last, _BATCH)):
            last = letters[-1][0]
            answers = await self._ask([address for _, address in letters])
            known = [pair for pair in zip(letters, answers, strict=False) if pair[1] is not None]
            await self._note([letter for letter, _ in known], [letter for letter, unwanted in known if unwanted])
            if len(answers) < len(letters) or self._clock.monotonic() >= end:
                return

    async def _ask(self, addresses: list[str]) -> list[bool | None]:
        """Of the first of them, up to those at which the relay is away: it tells of none that were asked at once."""
        answers: list[bool | None] = []
        for n in range(0, len(addresses), _AT_ONCE):
            told = await self._refuse(addresses[n : n + _AT_ONCE])
            if all(one is None for one in told):
                break
            answers += told
        return answers

    async def _refuse(self, addresses: list[str]) -> list[bool | None]:
        """Of a letter that has ended meanwhile, which has no address, nobody has to be asked."""
        answers = iter(await self._errands.refuse([address for address in addresses if address]))
        return [next(answers) if address else False for address in addresses]

    async def _note(self, asked: list[tuple[str, str]], unwanted: list[tuple[str, str]]) -> None:
        """The same transaction for both kinds."""

        def work(connection: Connection) -> None:
            for letter_id, address in unwanted:
                empty_unwanted(connection, letter_id, address)
            connection.executemany(_ASKED, [(letter_id,) for letter_id, _ in asked])

        if asked:
            await self._database.write(work)
