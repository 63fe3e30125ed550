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
from relay.ids import Entropy, base32
from web.letter_table import END_LETTER, NEVER
from web.letters import Ending, HeldFor

_SHOW: Final = """
SELECT h.letter_id, l.created, l.language, h.held_for, l.rules, h.held_until, h.sender_name, h.recipient, h.subject,
  h.message FROM web_handover h JOIN web_letter l ON l.id = h.letter_id
WHERE h.held_until IS NOT NULL AND h.hidden = 0
"""
_RELEASE: Final = """
UPDATE web_handover SET held_until = NULL, held_for = NULL, due = ?
WHERE letter_id = ? AND held_until > ? AND due = ? AND hidden = 0
"""
_REFUSE: Final = "DELETE FROM web_handover WHERE letter_id = ? AND held_until > ? AND hidden = 0"
_NOTE: Final = "INSERT INTO web_decision (id, at, subject, action, actor, rules, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"


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


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a letter or a report, and the reason they gave."""

    subject: str
    action: str
    actor: str
    reason: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """A decision and when it was made."""

    at: datetime
    decision: Decision


class DecisionLog:
    """The list of decisions. It holds no letter's words."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def write(self, connection: Connection, decision: Decision) -> None:
        """Add a line, in the transaction of what was decided."""
        at = to_millis(self._clock.now())
        values = (decision.subject, decision.action, decision.actor, " ".join(decision.rules), decision.reason)
        connection.execute(_NOTE, (base32(self._entropy.bytes(10)), at, *values))


class HoldStore:
    """Held letters in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._log = DecisionLog(clock, entropy)

    async def held(self, limit: int = 1000) -> list[HeldLetter]:
        """The letters that wait, the one whose time ends first on top."""
        rows = await self._rows(f"{_SHOW} ORDER BY h.held_until LIMIT ?", (limit,))
        return [_held(row) for row in rows]

    async def find(self, letter_id: str) -> HeldLetter | None:
        """One that waits; None if there is none of this id."""
        rows = await self._rows(f"{_SHOW} AND h.letter_id = ?", (letter_id,))
        return _held(rows[0]) if rows else None

    async def release(self, decision: Decision, due: datetime) -> bool:
        """Let the letter go at `due`; False if it does not wait any more."""
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> bool:
            connection.execute(_RELEASE, (to_millis(due), decision.subject, now, NEVER))
            if not connection.changes():
                return False
            self._log.write(connection, decision)
            return True

        return await self._database.write(work)

    async def refuse(self, decision: Decision) -> bool:
        """End the letter; its writer reads the rules and the reason. False if it does not wait any more."""
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> bool:
            connection.execute(_REFUSE, (decision.subject, now))
            if not connection.changes():
                return False
            connection.execute(END_LETTER, (Ending.REFUSED.value, now, decision.subject))
            told = (" ".join(decision.rules), decision.reason, decision.subject)
            connection.execute("UPDATE web_letter SET rules = ?, reason = ? WHERE id = ?", told)
            self._log.write(connection, decision)
            return True

        return await self._database.write(work)

    async def decisions(self, limit: int = 100) -> list[LoggedDecision]:
        """What was decided, the latest first."""
        sql = "SELECT at, subject, action, actor, reason, rules FROM web_decision ORDER BY at DESC, id LIMIT ?"
        return [
            LoggedDecision(from_millis(at), Decision(subject, action, actor, reason, tuple(rules.split())))
            for at, subject, action, actor, reason, rules in await self._rows(sql, (limit,))
        ]

    async def _rows(self, sql: str, bindings: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda connection: list(connection.execute(sql, bindings)))


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
