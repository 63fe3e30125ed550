"""Letters that wait for a person: shown, let go or refused, each decision kept with who decided and why.

The commands and the moderators' pages decide through here. A decision and its line in the log are one transaction;
a letter that somebody else decided about meanwhile is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.ids import Entropy
from web.decisions import Action, Decision, DecisionLog, LoggedDecision
from web.emptying import empty_released
from web.freezes import FREEZE
from web.letter_table import END_LETTER, NEVER
from web.letters import Ending, HeldFor

_SHOW: Final = """
SELECT h.letter_id, l.created, l.language, h.held_for, l.rules, h.held_until, h.sender_name, h.recipient, h.subject,
  h.message FROM web_handover h JOIN web_letter l ON l.id = h.letter_id
WHERE h.held_until IS NOT NULL
"""
_RELEASE: Final = """
UPDATE web_handover SET held_until = NULL, held_for = NULL,
  due = CASE WHEN due < ? THEN due ELSE ? END, promised = CASE WHEN due < ? THEN promised ELSE ? END
WHERE letter_id = ? AND held_until > ?
"""
_REFUSE: Final = "DELETE FROM web_handover WHERE letter_id = ? AND held_until > ?"


@dataclass(frozen=True, slots=True)
class HeldLetter:
    """A letter as a moderator sees it; nothing of its writer but the words."""

    id: str
    created: datetime
    language: str
    why: HeldFor
    rules: tuple[str, ...]
    until: datetime
    sender_name: str
    recipient: str
    subject: str
    message: str


class HoldStore:
    """Held letters in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._log = DecisionLog(database, clock, entropy)

    async def held(self, limit: int = 1000) -> list[HeldLetter]:
        """The letters that wait, the one whose time ends first on top."""
        rows = await rows_of(self._database, f"{_SHOW} ORDER BY h.held_until LIMIT ?", (limit,))
        return [_held(row) for row in rows]

    async def find(self, letter_id: str) -> HeldLetter | None:
        """One that waits; None if there is none of this id."""
        rows = await rows_of(self._database, f"{_SHOW} AND h.letter_id = ?", (letter_id,))
        return _held(rows[0]) if rows else None

    async def release(self, decision: Decision, due: datetime) -> bool:
        """Let the letter go at `due`; False if it does not wait any more.

        One of whose hold nothing was told keeps its own time.
        """
        now, at = to_millis(self._clock.now()), to_millis(due)
        letter = await self.find(decision.subject)
        released = (_RELEASE, (NEVER, at, NEVER, at, decision.subject, now))
        emptied = [empty_released(letter.id, letter.recipient)] if letter is not None else []
        return await self._log.commit(decision, released, *emptied)

    async def refuse(self, decision: Decision, freeze: Decision | None = None) -> bool:
        """End the letter; its writer reads the rules and the reason. False if it does not wait any more.

        With `freeze`, whoever wrote it is kept from its recipient, unless that is no longer known.
        """
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> bool:
            connection.execute(_REFUSE, (decision.subject, now))
            if not connection.changes():
                return False
            connection.execute(END_LETTER, (Ending.REFUSED.value, now, decision.subject))
            told = (" ".join(decision.rules), decision.reason, decision.subject)
            connection.execute("UPDATE web_letter SET rules = ?, reason = ? WHERE id = ?", told)
            self._log.write(connection, decision)
            if freeze is not None:
                connection.execute(FREEZE, (now, freeze.subject))
                if connection.changes():
                    self._log.write(connection, freeze)
            return True

        return await self._database.write(work)

    async def decisions(self, limit: int = 100) -> list[LoggedDecision]:
        """What was decided, the latest first."""
        sql = "SELECT at, subject, action, actor, reason, rules FROM web_decision ORDER BY at DESC, id LIMIT ?"
        return [
            LoggedDecision(from_millis(at), Decision(subject, Action(action), actor, reason, tuple(rules.split())))
            for at, subject, action, actor, reason, rules in await rows_of(self._database, sql, (limit,))
        ]


def _held(row: tuple[Any, ...]) -> HeldLetter:
    letter_id, created, language, why, rules, until, sender_name, recipient, subject, message = row
    return HeldLetter(
        id=letter_id,
        created=from_millis(created),
        language=language,
        why=HeldFor(why),
        rules=tuple(rules.split()),
        until=from_millis(until),
        sender_name=sender_name,
        recipient=recipient,
        subject=subject,
        message=message,
    )
