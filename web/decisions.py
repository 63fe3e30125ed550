"""What people decided, and why: a list that is only ever added to.

The database refuses to change a line, and to delete one that is younger than a year (`web/sql`). It holds no letter's
words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import Statement
from relay.ids import Entropy, base32

_NOTE: Final = "INSERT INTO web_decision (id, at, subject, action, actor, rules, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"


class Action(StrEnum):
    """What was done. The desk has a word for each, in every language."""

    ENTER = "enter"
    RELEASE = "release"
    REFUSE = "refuse"
    FREEZE = "freeze"
    THAW = "thaw"
    UPHELD = "upheld"
    DISMISSED = "dismissed"
    NOTICE_UPHELD = "notice-upheld"
    NOTICE_DISMISSED = "notice-dismissed"
    PUBLISH = "publish"
    DECLINE = "decline"
    TAKE_DOWN = "take-down"
    REPLY_SHOW = "reply-show"
    REPLY_REFUSE = "reply-refuse"
    DANGER = "danger"
    DANGER_TOLD = "danger-told"
    DANGER_CLOSED = "danger-closed"


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a letter or a report, and the reason they gave."""

    subject: str
    action: Action
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

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy

    def write(self, connection: Connection, decision: Decision) -> None:
        """Add a line, in the transaction of what was decided."""
        at = to_millis(self._clock.now())
        values = (decision.subject, decision.action, decision.actor, " ".join(decision.rules), decision.reason)
        connection.execute(_NOTE, (base32(self._entropy.bytes(10)), at, *values))

    async def commit(self, decision: Decision, change: Statement, *more: Statement) -> bool:
        """What was decided and its line, in one transaction; False, and none of it, if `change` changes no row.

        Raises SpoolUnavailableError.
        """

        def work(connection: Connection) -> bool:
            connection.execute(*change)
            if not connection.changes():
                return False
            for statement in more:
                connection.execute(*statement)
            self.write(connection, decision)
            return True

        return await self._database.write(work)
