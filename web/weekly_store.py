"""The weekly's tables: questions nobody answered yet, subscribers, each week's posts, and mails that are still owed.

A week is made once for each language, in one transaction with the list of those it is owed to; a line of that list goes
when the relay has the mail. An address stands here encrypted only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from web.wall import COLUMNS, SHOWN, Post, read_post

MOST_POSTS: Final = 10
KEYED: Final = "weekly-ask-"
"""How the idempotency keys of mails that ask begin, and no id of the relay does."""
REPEATABLE: Final = timedelta(hours=23)
"""So long after the first try the relay still knows a mail by its key; after that it is not tried again."""

_ASK: Final = """
INSERT INTO web_question (mailbox, message_id, until) VALUES (?, ?, ?)
ON CONFLICT (mailbox, message_id) DO UPDATE SET until = excluded.until
"""
_NAME: Final = """
INSERT INTO web_question (mailbox, message_id, until)
SELECT mailbox, ?, until FROM web_question WHERE mailbox = ? AND message_id = ?
ON CONFLICT (mailbox, message_id) DO UPDATE SET until = excluded.until
"""
_FORGET: Final = "DELETE FROM web_question WHERE mailbox = ? AND message_id = ?"
_ANSWER: Final = "UPDATE web_question SET until = 0 WHERE mailbox = ? AND until > ?"
_VOID: Final = "UPDATE web_question SET until = 0 WHERE mailbox = ?"
_ANSWERED: Final = """
SELECT mailbox, message_id FROM web_question WHERE until <= ? AND (mailbox, message_id) > (?, ?)
ORDER BY mailbox, message_id LIMIT ?
"""
_SUBSCRIBE: Final = """
INSERT INTO web_subscriber (mailbox, language, sealed) VALUES (?, ?, ?)
ON CONFLICT (mailbox) DO UPDATE SET language = excluded.language, sealed = excluded.sealed
"""
_MAKE: Final = "INSERT INTO web_digest (week, language) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING week"
_NEW_POSTS: Final = f"SELECT p.public_id FROM web_post p WHERE p.language = ? AND {SHOWN}"  # noqa: S608 - constants
_UNTOLD: Final = """
AND NOT EXISTS (SELECT 1 FROM web_digest_post d WHERE d.public_id = p.public_id)
ORDER BY p.published DESC, p.public_id LIMIT ?
"""
_OF_WEEK: Final = (
    f"SELECT {COLUMNS} FROM web_post p, web_digest_post d WHERE d.public_id = p.public_id AND {SHOWN} "  # noqa: S608
    "AND d.week = ? AND d.language = ? ORDER BY p.published DESC, p.public_id"
)
_WEEKS: Final = f"""
SELECT DISTINCT d.week FROM web_digest_post d JOIN web_post p ON p.public_id = d.public_id
WHERE d.language = ? AND {SHOWN} ORDER BY d.week DESC LIMIT ?
"""  # noqa: S608 - constants
_OWE: Final = """
INSERT INTO web_mailing (week, language, mailbox) SELECT CAST(? AS TEXT), language, mailbox FROM web_subscriber
WHERE language = ?
"""
_OWED: Final = """
SELECT m.week, m.language, m.mailbox, s.sealed FROM web_mailing m JOIN web_subscriber s ON s.mailbox = m.mailbox
ORDER BY m.week, m.language, m.mailbox LIMIT ?
"""
_TRY: Final = """
UPDATE web_mailing SET tried = COALESCE(tried, ?) WHERE week = ? AND language = ? AND mailbox = ?
"""
_OVER: Final = (
    "DELETE FROM web_mailing WHERE tried < ? OR NOT EXISTS "
    "(SELECT 1 FROM web_subscriber s WHERE s.mailbox = web_mailing.mailbox)"
)


@dataclass(frozen=True, slots=True)
class Owed:
    """A mail that somebody waits for; `sealed` is their address, encrypted."""

    week: str
    language: str
    mailbox: bytes
    sealed: str


class WeeklyStore:
    """Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def note_question(self, mailbox: bytes, message_id: str, until: datetime) -> None:
        """A mail asks whether this mailbox wants the weekly, and may be answered `until` then.

        `message_id` is the relay's; before that is known the mail's key, so that whoever dies in between leaves it; and
        "" if the relay took none: the line is written all the same, since an answer's haste tells.
        """
        await change(self._database, (_ASK, (mailbox, message_id, to_millis(until))))

    async def name_question(self, mailbox: bytes, key: str, message_id: str) -> None:
        """Its mail, known until now by the key it was handed over under, is this one at the relay."""
        await change(self._database, (_NAME, (message_id, mailbox, key)), (_FORGET, (mailbox, key)))

    async def is_asked(self, mailboxes: Sequence[bytes]) -> bool:
        """Whether a question to the mailbox of these hashes waits for an answer."""
        marks = ", ".join("?" * len(mailboxes))
        sql = f"SELECT 1 FROM web_question WHERE until > ? AND mailbox IN ({marks}) LIMIT 1"  # noqa: S608 - marks only
        return bool(await rows_of(self._database, sql, (to_millis(self._clock.now()), *mailboxes)))

    async def is_subscribed(self, mailboxes: Sequence[bytes]) -> bool:
        """Whether the mailbox of these hashes gets the weekly."""
        marks = ", ".join("?" * len(mailboxes))
        sql = f"SELECT 1 FROM web_subscriber WHERE mailbox IN ({marks}) LIMIT 1"  # noqa: S608 - marks only
        return bool(await rows_of(self._database, sql, mailboxes))

    async def subscribe(self, mailboxes: Sequence[bytes], language: str, sealed: str) -> bool:
        """Somebody confirmed: a question is answered, and the first hash subscribed. False if none waits any more.

        Who is subscribed already stays so, whatever became of the question: a form that is sent twice does no harm.
        """
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> bool:
            answered = 0
            for mailbox in mailboxes:
                connection.execute(_ANSWER, (mailbox, now))
                answered += connection.changes()
            if answered:
                connection.execute(_SUBSCRIBE, (mailboxes[0], language, sealed))
            return bool(answered)

        return await self._database.write(work) or await self.is_subscribed(mailboxes)

    async def leave(self, mailboxes: Sequence[bytes]) -> None:
        """Forget a subscriber and what they are owed; no earlier question subscribes them. Harmless without one."""
        await self._end(mailboxes, _VOID)

    async def erase(self, mailboxes: Sequence[bytes]) -> None:
        """As `leave`, and that they were asked is deleted too; the relay is told by somebody else."""
        await self._end(mailboxes, "DELETE FROM web_question WHERE mailbox = ?")

    async def _end(self, mailboxes: Sequence[bytes], questions: str) -> None:
        ends = ("DELETE FROM web_subscriber WHERE mailbox = ?", "DELETE FROM web_mailing WHERE mailbox = ?", questions)

        def work(connection: Connection) -> None:
            for mailbox in mailboxes:
                for sql in ends:
                    connection.execute(sql, (mailbox,))

        await self._database.write(work)

    async def answered_questions(self, after: tuple[bytes, str], limit: int) -> list[tuple[bytes, str]]:
        """Mailbox and mail of questions that were answered, or can be no more; those that come `after` one."""
        rows = await rows_of(self._database, _ANSWERED, (to_millis(self._clock.now()), *after, limit))
        return [(bytes(mailbox), message_id) for mailbox, message_id in rows]

    async def forget_question(self, mailbox: bytes, message_id: str) -> None:
        """Its mail is gone at the relay."""
        await change(self._database, (_FORGET, (mailbox, message_id)))

    async def is_made(self, week: str, language: str) -> bool:
        """Whether a week was made already."""
        return bool(
            await rows_of(self._database, "SELECT 1 FROM web_digest WHERE week = ? AND language = ?", (week, language))
        )

    async def make(self, week: str, language: str) -> int:
        """Make a week of what is new on the wall, and owe it to every subscriber; how many posts, 0 if it was made."""

        def work(connection: Connection) -> int:
            if not list(connection.execute(_MAKE, (week, language))):
                return 0
            posts = list(connection.execute(f"{_NEW_POSTS} {_UNTOLD}", (language, MOST_POSTS)))
            for (public_id,) in posts:
                connection.execute("INSERT INTO web_digest_post VALUES (?, ?, ?)", (public_id, week, language))
            if posts:
                connection.execute(_OWE, (week, language))
            return len(posts)

        return await self._database.write(work)

    async def posts(self, week: str, language: str) -> list[Post]:
        """The posts of a week that still show, the latest first."""
        return [read_post(row) for row in await rows_of(self._database, _OF_WEEK, (week, language))]

    async def weeks(self, language: str, limit: int = 60) -> list[str]:
        """The weeks that still show something, the latest first."""
        return [week for (week,) in await rows_of(self._database, _WEEKS, (language, limit))]

    async def owed(self, limit: int) -> list[Owed]:
        """Mails to hand over."""
        rows = await rows_of(self._database, _OWED, (limit,))
        return [Owed(week, language, bytes(mailbox), sealed) for week, language, mailbox, sealed in rows]

    async def begin(self, owed: Sequence[Owed]) -> None:
        """Note that these are about to be handed over, before the relay is asked."""
        now = to_millis(self._clock.now())
        rows = [(now, one.week, one.language, one.mailbox) for one in owed]
        await self._database.write(lambda connection: connection.executemany(_TRY, rows))

    async def settle(self, owed: Owed) -> None:
        """The relay has it, or never will."""
        sql = "DELETE FROM web_mailing WHERE week = ? AND language = ? AND mailbox = ?"
        await change(self._database, (sql, (owed.week, owed.language, owed.mailbox)))

    async def give_up(self) -> None:
        """Drop what could become a second mail, and what nobody waits for any more."""
        before = to_millis(self._clock.now() - REPEATABLE)
        if await rows_of(self._database, "SELECT 1 FROM web_mailing LIMIT 1"):
            await change(self._database, (_OVER, (before,)))
