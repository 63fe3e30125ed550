"""Frozen pairs: whom a recipient's report, or a moderator, keeps from writing to that recipient.

A pair is a hash of network and mailbox under a key in memory alone: it names nobody, and means nothing once its key
is gone (30 to 60 days). It is shown by the letter that led to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Database
from relay.database.statements import rows_of
from relay.ids import Entropy
from web.decisions import Decision, DecisionLog

FREEZE: Final = """
INSERT INTO web_freeze (pair, at) SELECT pair, ? FROM web_letter WHERE id = ? AND pair IS NOT NULL
ON CONFLICT DO NOTHING
"""
THAW: Final = "DELETE FROM web_freeze WHERE pair = (SELECT pair FROM web_letter WHERE id = ?)"
_LIST: Final = """
SELECT MIN(l.id), f.at, COUNT(*) FROM web_freeze f JOIN web_letter l ON l.pair = f.pair
GROUP BY f.pair, f.at ORDER BY f.at DESC LIMIT ?
"""
_IS_FROZEN: Final = "SELECT 1 FROM web_freeze f JOIN web_letter l ON l.pair = f.pair WHERE l.id = ?"


@dataclass(frozen=True, slots=True)
class Freeze:
    """A frozen pair: since when, one letter by which it is named, and how many of its letters are known."""

    letter_id: str
    at: datetime
    letters: int


class FreezeStore:
    """Frozen pairs in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._log = DecisionLog(database, clock, entropy)

    async def frozen(self, limit: int = 1000) -> list[Freeze]:
        """The pairs that are frozen, the latest first."""
        rows = await rows_of(self._database, _LIST, (limit,))
        return [Freeze(letter_id, from_millis(at), count) for letter_id, at, count in rows]

    async def is_frozen(self, letter_id: str) -> bool:
        """Whether the pair of a letter is frozen; no pair is known of a letter that was sent without limits."""
        return bool(await rows_of(self._database, _IS_FROZEN, (letter_id,)))

    async def freeze(self, decision: Decision) -> bool:
        """Freeze the pair of the letter `decision.subject`; False if it is known to be none, or is frozen."""
        return await self._log.commit(decision, (FREEZE, (to_millis(self._clock.now()), decision.subject)))

    async def thaw(self, decision: Decision) -> bool:
        """End the freeze of the pair of that letter; False if there is none."""
        return await self._log.commit(decision, (THAW, (decision.subject,)))
