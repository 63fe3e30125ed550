"""Replies to letters, as the front keeps them: one a letter, its words alone, for the page of whoever wrote the letter.

A reply begins here shown, or held for a person; either ends with its letter, when its writer or its recipient deletes
it, or when nobody decides in time. What ended leaves a line without words, so that no later reply takes its place.
Adding is idempotent: the relay tells a reply again until it heard that we have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from relay.ids import Entropy
from web.decisions import Decision, DecisionLog
from web.letters import HOLD_TIME
from web.moderation.ruling import Step

_DAY: Final = 24 * 3600 * 1000

CLOSE_REPLY: Final = """
INSERT INTO web_reply (letter_id, state, day, step, words) VALUES (?, 'over', 0, '', '')
ON CONFLICT (letter_id) DO UPDATE SET
  state = 'over', day = 0, mailbox = NULL, step = '', rules = '', held_until = NULL, words = ''
"""
"""Delete the reply to a letter, and take none from now on."""

_FORGET_WORDS: Final = """
UPDATE web_reply SET state = 'over', day = 0, mailbox = NULL, step = '', rules = '', held_until = NULL, words = ''
WHERE
"""
_ADD: Final = """
INSERT INTO web_reply (letter_id, state, day, mailbox, step, rules, held_until, words) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_HELD: Final = """
SELECT r.letter_id, l.language, r.rules, r.held_until, r.words
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


@dataclass(frozen=True, slots=True)
class Reply:
    """What a letter's writer is shown. `day` is when it came; `step` what moderation said: pass, nudge, hold, care."""

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


class ReplyStore:
    """Replies in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._log = DecisionLog(database, clock, entropy)

    async def letter_of(self, message_id: str) -> str | None:
        """The letter that the relay knows by this id; None if there is none, or none yet."""
        rows = await rows_of(self._database, "SELECT id FROM web_letter WHERE message_id = ?", (message_id,))
        return rows[0][0] if rows else None

    async def add(self, reply: NewReply) -> None:
        """Keep a reply, unless its letter has one, or takes none any more."""
        now = self._clock.now()
        day = to_millis(now) // _DAY * _DAY
        held = reply.step.stops
        state, until = ("held", to_millis(now + HOLD_TIME)) if held else ("shown", None)
        rules = " ".join(reply.rules)
        row = (reply.letter_id, state, day, reply.mailbox, reply.step.value, rules, until, reply.words)
        await change(self._database, (_ADD, row))

    async def of_letter(self, letter_id: str) -> Reply | None:
        """What its writer is shown."""
        sql = "SELECT day, step, words FROM web_reply WHERE letter_id = ? AND state = 'shown'"
        rows = await rows_of(self._database, sql, (letter_id,))
        return Reply(from_millis(rows[0][0]), Step(rows[0][1]), rows[0][2]) if rows else None

    async def keeps_words(self, letter_id: str) -> bool:
        """Whether words of a reply to it are kept, shown or held."""
        return bool(
            await rows_of(
                self._database, "SELECT 1 FROM web_reply WHERE letter_id = ? AND state <> 'over'", (letter_id,)
            )
        )

    async def close(self, letter_id: str) -> None:
        """Delete the reply to a letter, and take none from now on."""
        await change(self._database, (CLOSE_REPLY, (letter_id,)))

    async def erase(self, letter_id: str, mailboxes: Sequence[bytes]) -> None:
        """Delete what the holder of a mailbox, by any of its hashes, replied to any letter; `letter_id` is one."""

        def work(connection: Connection) -> None:
            connection.execute(CLOSE_REPLY, (letter_id,))
            for mailbox in mailboxes:
                connection.execute(f"{_FORGET_WORDS} mailbox = ?", (mailbox,))

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
        return await self._decide(sql, decision)

    async def refuse(self, decision: Decision) -> bool:
        """Delete a held reply; False if it does not wait any more."""
        return await self._decide(_FORGET_WORDS, decision)

    async def end_holds(self) -> None:
        """Delete what nobody decided about in time."""
        now = (self._now(),)
        # A look first: an idle front must not ask for the database's write lock every minute.
        if await rows_of(
            self._database, "SELECT 1 FROM web_reply WHERE state = 'held' AND held_until <= ? LIMIT 1", now
        ):
            await change(self._database, (f"{_FORGET_WORDS} state = 'held' AND held_until <= ?", now))

    async def forget(self) -> None:
        """Delete what belongs to letters that are forgotten."""
        await change(self._database, ("DELETE FROM web_reply WHERE letter_id NOT IN (SELECT id FROM web_letter)", ()))

    async def _decide(self, sql: str, decision: Decision) -> bool:
        held = f"{sql} letter_id = ? AND state = 'held' AND held_until > ?"
        return await self._log.commit(decision, (held, (decision.subject, self._now())))

    def _now(self) -> int:
        return to_millis(self._clock.now())


def _held(row: tuple[Any, ...]) -> HeldReply:
    letter_id, language, rules, until, words = row
    return HeldReply(letter_id, language, tuple(rules.split()), from_millis(until), words)
