"""Replies to letters, as the front keeps them: one a letter, its words alone, for the page of whoever wrote the letter.

A reply begins here shown, held for a person, or refused. Whoever wrote it reads by their letter's link what became of
it and why, and may have a person look once at one that was refused: its words are kept for a week for that alone. It
ends with its letter, or when its writer or its recipient deletes it. What ended, was refused or was not decided about
in time leaves a line, so that no later reply takes its place.
Adding is idempotent: the relay tells a reply again until it heard that we have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from relay.ids import Entropy
from web.decisions import Decision, DecisionLog
from web.letters import HOLD_TIME
from web.moderation.ruling import Step
from web.pile import USUAL_MOST

REFUSED_KEPT: Final = timedelta(days=7)
"""So long the words of a refused reply wait for whoever wrote them to ask a person."""

_DAY: Final = 24 * 3600 * 1000
_EMPTY: Final = """
state = 'over', day = 0, mailbox = NULL, step = '', rules = '', held_until = NULL, words = '', reason = '', appealed = 0
"""

CLOSE_REPLY: Final = f"""
INSERT INTO web_reply (letter_id, state, day, step, words) VALUES (?, 'over', 0, '', '')
ON CONFLICT (letter_id) DO UPDATE SET {_EMPTY}
"""  # noqa: S608 - constants
"""Delete the reply to a letter, and take none from now on."""

_ERASE: Final = f"UPDATE web_reply SET {_EMPTY} WHERE mailbox = ?"  # noqa: S608 - constants
_FORGET_WORDS: Final = "UPDATE web_reply SET held_until = NULL, words = ''"
"""The mailbox stays with rules and reason, which speak of whose it is: erasing must find them by it."""
_REFUSE: Final = """
UPDATE web_reply SET state = 'refused', reason = ?,
  held_until = CASE appealed WHEN 0 THEN CAST(? AS BIGINT) END,
  words = CASE appealed WHEN 0 THEN words ELSE '' END
WHERE
"""
_APPEAL: Final = """
UPDATE web_reply SET state = 'held', appealed = 1, held_until = ?
WHERE letter_id = ? AND state = 'refused' AND appealed = 0 AND held_until > ?
"""
_STANDING: Final = """
SELECT state, rules, reason, held_until, appealed, words <> '', step FROM web_reply WHERE letter_id = ?
"""
_ADD: Final = """
INSERT INTO web_reply (letter_id, state, day, mailbox, step, rules, held_until, words) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_HELD: Final = """
SELECT r.letter_id, l.language, r.rules, r.held_until, r.words, r.appealed
FROM web_reply r JOIN web_letter l ON l.id = r.letter_id WHERE r.state = 'held' AND r.held_until > ?
"""


@dataclass(frozen=True, slots=True)
class NewReply:
    """A reply that moderation lets stand or holds; `mailbox` is a keyed hash of whose words they are."""

    letter_id: str
    mailbox: bytes
    step: Step
    rules: tuple[str, ...]
    words: str = field(repr=False)


class ReplyState(StrEnum):
    """What became of a reply, as whoever wrote it is told: its words in the catalogue are `recipient.reply_<value>`."""

    SHOWN = "shown"
    HELD = "held"
    REFUSED = "refused"
    LAPSED = "lapsed"
    """Nobody decided in time."""


@dataclass(frozen=True, slots=True)
class ReplyStanding:
    """Where a reply stands, for whoever wrote it. `until`: when a held one is decided, or a refused one's words go."""

    state: ReplyState
    rules: tuple[str, ...]
    reason: str
    until: datetime | None
    is_appealed: bool
    has_words: bool
    step: Step
    """What moderation said of it."""

    @property
    def may_appeal(self) -> bool:
        """Whether its author may still ask a person."""
        return self.state is ReplyState.REFUSED and self.has_words and not self.is_appealed


@dataclass(frozen=True, slots=True)
class Reply:
    """What a letter's writer is shown. `day` is when it came; `step` what moderation said of it."""

    day: datetime
    step: Step
    words: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldReply:
    """A reply as a moderator sees it; nobody's address is in it. `language` is the letter's."""

    letter_id: str
    language: str
    rules: tuple[str, ...]
    until: datetime
    words: str = field(repr=False)
    is_appealed: bool = False
    """Whether it was refused, and its author has asked a person."""


class ReplyStore:
    """Replies in the front's tables; `most` may wait for a person. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy, most: int = USUAL_MOST) -> None:
        self._database = database
        self._clock = clock
        self._log = DecisionLog(database, clock, entropy)
        self._most = most

    async def letter_of(self, message_id: str) -> str | None:
        """The letter that the relay knows by this id; None if there is none, or none yet."""
        rows = await rows_of(self._database, "SELECT id FROM web_letter WHERE message_id = ?", (message_id,))
        return rows[0][0] if rows else None

    async def add(self, reply: NewReply) -> None:
        """Keep a reply, unless its letter has one, or takes none any more; one that is refused for an appeal alone."""
        now = self._clock.now()
        day = to_millis(now) // _DAY * _DAY
        state, until = "shown", None
        if reply.step.stops:
            is_refused = reply.step is Step.REFUSE
            state = "refused" if is_refused else "held"
            until = to_millis(now + (REFUSED_KEPT if is_refused else HOLD_TIME))
        rules = " ".join(reply.rules)
        row = (reply.letter_id, state, day, reply.mailbox, reply.step.value, rules, until, reply.words)
        await change(self._database, (_ADD, row))

    async def has_room(self) -> bool:
        """Whether one more may wait for a person."""
        [(waiting,)] = await rows_of(self._database, "SELECT COUNT(*) FROM web_reply WHERE state = 'held'", ())
        return bool(waiting < self._most)

    async def of_letter(self, letter_id: str) -> Reply | None:
        """What its writer is shown."""
        sql = "SELECT day, step, words FROM web_reply WHERE letter_id = ? AND state = 'shown'"
        rows = await rows_of(self._database, sql, (letter_id,))
        return Reply(from_millis(rows[0][0]), Step(rows[0][1]), rows[0][2]) if rows else None

    async def standing(self, letter_id: str) -> ReplyStanding | None:
        """What became of the reply to it; None if there was none, or it was deleted."""
        rows = await rows_of(self._database, _STANDING, (letter_id,))
        if not rows or rows[0][0] == "over":
            return None
        state, rules, reason, until, appealed, has_words, step = rows[0]
        return ReplyStanding(
            ReplyState(state),
            tuple(rules.split()),
            reason,
            None if until is None else from_millis(until),
            is_appealed=bool(appealed),
            has_words=bool(has_words),
            step=Step(step),
        )

    async def appeal(self, letter_id: str) -> bool:
        """A person looks at a refused reply, once; False if its words are gone, or one has looked."""
        now = self._clock.now()

        def work(connection: Connection) -> bool:
            connection.execute(_APPEAL, (to_millis(now + HOLD_TIME), letter_id, to_millis(now)))
            return bool(connection.changes())

        return await self._database.write(work)

    async def close(self, letter_id: str) -> None:
        """Delete the reply to a letter, and take none from now on."""
        await change(self._database, (CLOSE_REPLY, (letter_id,)))

    async def erase(self, letter_id: str, mailboxes: Sequence[bytes]) -> None:
        """Delete what the holder of a mailbox, by any of its hashes, replied to any letter; `letter_id` is one."""

        def work(connection: Connection) -> None:
            connection.execute(CLOSE_REPLY, (letter_id,))
            for mailbox in mailboxes:
                connection.execute(_ERASE, (mailbox,))

        await self._database.write(work)

    async def held(self, limit: int = 200) -> list[HeldReply]:
        """What waits for a person, the one whose time ends first on top."""
        rows = await rows_of(
            self._database, f"{_HELD} ORDER BY r.held_until, r.letter_id LIMIT ?", (self._now(), limit)
        )
        return [_held(row) for row in rows]

    async def show(self, decision: Decision) -> bool:
        """Let a held reply be shown; False if it does not wait any more."""
        sql = "UPDATE web_reply SET state = 'shown', rules = '', held_until = NULL WHERE"
        return await self._decide(sql, (), decision)

    async def refuse(self, decision: Decision) -> bool:
        """Show a held reply to nobody; its author reads rules and reason. False if it does not wait any more."""
        until = to_millis(self._clock.now() + REFUSED_KEPT)
        return await self._decide(_REFUSE, (decision.reason, until), decision)

    async def end_holds(self) -> None:
        """Delete what nobody decided about in time, and the words of refused ones that nobody contested."""
        now = (self._now(),)
        # A look first: an idle front must not ask for the database's write lock every minute.
        if await rows_of(self._database, "SELECT 1 FROM web_reply WHERE held_until <= ? LIMIT 1", now):
            lapsed = "UPDATE web_reply SET state = 'lapsed' WHERE state = 'held' AND held_until <= ?"
            await change(self._database, (lapsed, now), (f"{_FORGET_WORDS} WHERE held_until <= ?", now))

    async def forget(self) -> None:
        """Delete what belongs to letters that are forgotten."""
        await change(self._database, ("DELETE FROM web_reply WHERE letter_id NOT IN (SELECT id FROM web_letter)", ()))

    async def _decide(self, sql: str, bindings: Sequence[Any], decision: Decision) -> bool:
        held = f"{sql} letter_id = ? AND state = 'held' AND held_until > ?"
        return await self._log.commit(decision, (held, (*bindings, decision.subject, self._now())))

    def _now(self) -> int:
        return to_millis(self._clock.now())


def _held(row: tuple[Any, ...]) -> HeldReply:
    letter_id, language, rules, until, words, appealed = row
    return HeldReply(letter_id, language, tuple(rules.split()), from_millis(until), words, bool(appealed))
