"""Letters taken for a threat to a life: frozen for good, and kept with their sealed record until their case is closed.

A moderator says so of a letter that is held, or that its recipient reported. In one transaction the letter is ended,
its pair frozen, its words move here, and log and audit get their lines. Retention leaves the sealed record and the
letter's row alone while the case is open; `KEPT` after its start a case that nobody closed ends by itself. Nothing here
opens a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from relay.ids import Entropy, base32
from web.audit import Audit, Disclosure
from web.decisions import Action, Decision, DecisionLog
from web.disclosure import OWN_BASIS
from web.freezes import FREEZE
from web.letter_table import END_LETTER
from web.letters import Ending
from web.moderation.ruling import Rule
from web.reports import DECIDE_REPORT, HOLD_REPORT, NOBODY, Outcome
from web.wall import REMOVE_POST

KEPT: Final = timedelta(days=730)
"""How long a case stays open at most."""

_NUMBER_KEPT: Final = timedelta(days=366)
"""How long a closed case's number and times stay, without any words."""
_TELLING: Final = (Rule.THREAT, Rule.VIOLENCE, Rule.SELF_HARM)
_COLUMNS: Final = """letter_id, case_id, at, created, language, rules, sender_name, recipient, subject, message, words,
  reason, told"""
_LETTER: Final = "SELECT created, language, rules FROM web_letter WHERE id = ?"
_STOP_HELD: Final = """
DELETE FROM web_handover WHERE letter_id = ? AND held_until > ?
RETURNING sender_name, recipient, subject, message
"""
_STOP_ASKED: Final = "DELETE FROM web_waiting WHERE letter_id = ? RETURNING sender_name, '', subject, message"
_REPORTED: Final = "SELECT rule, words FROM web_report WHERE letter_id = ? AND outcome IS NULL"
_TELL_WRITER: Final = "UPDATE web_letter SET rules = ?, reason = '' WHERE id = ?"
_OPEN_CASE: Final = f"""
INSERT INTO web_danger ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)
"""  # noqa: S608 - columns only
_TOLD: Final = "UPDATE web_danger SET told = ? WHERE letter_id = ? AND told IS NULL AND closed IS NULL"
_CLOSE: Final = """
UPDATE web_danger SET closed = ?, sender_name = '', recipient = '', subject = '', message = '', words = '', reason = ''
WHERE letter_id = ? AND closed IS NULL RETURNING case_id
"""


@dataclass(frozen=True, slots=True)
class Danger:
    """An open case. `message` is "" for a letter that left: then only `words`, its recipient's, are known."""

    letter_id: str
    case: str
    at: datetime
    created: datetime | None
    language: str
    rules: tuple[str, ...]
    sender_name: str
    recipient: str
    subject: str
    message: str
    words: str
    reason: str
    told: datetime | None


class DangerStore:
    """Threats to life in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._log = DecisionLog(database, clock, entropy)
        self._audit = Audit(database, clock)

    async def open_cases(self, limit: int = 200) -> list[Danger]:
        """What is not closed, the latest first."""
        return await self._rows("closed IS NULL ORDER BY at DESC LIMIT ?", limit)

    async def find(self, letter_id: str) -> Danger | None:
        """The open case of a letter."""
        found = await self._rows("closed IS NULL AND letter_id = ?", letter_id)
        return found[0] if found else None

    async def letter_of_case(self, case: str) -> str | None:
        """The letter of an open case, by the case's number."""
        found = await self._rows("closed IS NULL AND case_id = ?", case)
        return found[0].letter_id if found else None

    async def freeze(self, decision: Decision) -> bool:
        """Open the case of the letter `decision.subject`; False if it is neither held nor reported any more."""
        case, moment = f"life-{base32(self._entropy.bytes(5))}", to_millis(self._clock.now())

        def work(connection: Connection) -> bool:
            letter_id = decision.subject
            known = list(connection.execute(_LETTER, (letter_id,)))
            created, language, rules = known[0] if known else (None, "", "")
            text = list(connection.execute(_STOP_HELD, (letter_id, moment)))
            words = ""
            if text:
                connection.execute(END_LETTER, (Ending.REFUSED.value, moment, letter_id))
                connection.execute(_TELL_WRITER, (_rules_told(rules), letter_id))
            else:
                connection.execute(HOLD_REPORT, (letter_id,))
                reported = list(connection.execute(_REPORTED, (letter_id,)))
                if not reported:
                    return False
                rules, words = reported[0]
                connection.execute(DECIDE_REPORT, (Outcome.UPHELD.value, NOBODY, letter_id))
            asked = list(connection.execute(_STOP_ASKED, (letter_id,)))
            connection.execute(REMOVE_POST, (letter_id,))
            connection.execute(FREEZE, (moment, letter_id))
            content = (text or asked or [("", "", "", "")])[0]
            row = (letter_id, case, moment, created, language, rules, *content, words, decision.reason)
            connection.execute(_OPEN_CASE, row)
            self._write(connection, decision, case, "preserve")
            return True

        return await self._database.write(work)

    async def note_told(self, decision: Decision) -> bool:
        """The authorities were told: nobody need be called any more. False if that is known, or the case is closed."""
        return await self._log.commit(decision, (_TOLD, (to_millis(self._clock.now()), decision.subject)))

    async def close(self, decision: Decision) -> bool:
        """Delete the words; the sealed record goes with its month again. False if no case is open."""
        moment = to_millis(self._clock.now())

        def work(connection: Connection) -> bool:
            closed = list(connection.execute(_CLOSE, (moment, decision.subject)))
            if closed:
                self._write(connection, decision, closed[0][0], "close")
            return bool(closed)

        return await self._database.write(work)

    async def forget(self) -> None:
        """Close the cases whose time is over, and delete the numbers of those closed long ago."""
        now = self._clock.now()
        for case in await self._rows("closed IS NULL AND at < ?", to_millis(now - KEPT)):
            await self.close(Decision(case.letter_id, Action.DANGER_CLOSED, "retention", "Its time is over."))
        old = "DELETE FROM web_danger WHERE closed < ?"
        await change(self._database, (old, (to_millis(now - _NUMBER_KEPT),)))

    def _write(self, connection: Connection, decision: Decision, case: str, action: str) -> None:
        self._log.write(connection, decision)
        said = Disclosure(decision.subject, case, OWN_BASIS, decision.actor, reason=decision.reason, action=action)
        self._audit.write(connection, said)

    async def _rows(self, where: str, binding: Any) -> list[Danger]:
        sql = f"SELECT {_COLUMNS} FROM web_danger WHERE {where}"  # noqa: S608 - texts of this module
        rows = await rows_of(self._database, sql, (binding,))
        return [_danger(row) for row in rows]


def _rules_told(rules: str) -> str:
    """What the writer reads; that a case was opened is not for them."""
    return " ".join(rule for rule in _TELLING if rule.value in rules.split()) or Rule.THREAT.value


def _danger(row: tuple[Any, ...]) -> Danger:
    letter_id, case, at, created, language, rules, sender_name, recipient, subject, message, words, reason, told = row
    return Danger(
        letter_id=letter_id,
        case=case,
        at=from_millis(at),
        created=None if created is None else from_millis(created),
        language=language,
        rules=tuple(rules.split()),
        sender_name=sender_name,
        recipient=recipient,
        subject=subject,
        message=message,
        words=words,
        reason=reason,
        told=None if told is None else from_millis(told),
    )
