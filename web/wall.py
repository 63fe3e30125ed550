"""The wall: letters that their writers offered, shown without names, after they arrived and a person approved them.

A post begins with its letter and waits: until the letter has been delivered for a while, then for a moderator. Its
recipient ends it at any time, at once and for good; a report hides it until it is dismissed. The words are kept no
longer than a decision needs. Nothing public leads from a post to its letter. Its writer takes it down by the letter's
secret link, whose hash is kept with it as long as it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from relay.ids import Entropy, base32
from web.decisions import Decision, DecisionLog

PAGE: Final = 10
_DAY: Final = 24 * 3600 * 1000
_ID: Final = 10

REMOVE_POST: Final = (
    "UPDATE web_post SET state = 'removed', words = '', shown = '', secret_hash = NULL WHERE letter_id = ?"
)
ADD_POST: Final = """
INSERT INTO web_post (letter_id, state, language, signature, due, words) VALUES (?, 'waiting', ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_UNDISPUTED: Final = """
NOT EXISTS (SELECT 1 FROM web_report r WHERE r.letter_id = p.letter_id AND COALESCE(r.outcome, '') <> 'dismissed')
"""
SHOWN: Final = f"p.state = 'published' AND {_UNDISPUTED}"
COLUMNS: Final = "p.public_id, p.language, p.signature, p.published, p.shown, p.letter_id"
_LATEST: Final = f"""
SELECT {COLUMNS} FROM web_post p WHERE p.language = ? AND {SHOWN} ORDER BY p.published DESC, p.public_id LIMIT ?
"""  # noqa: S608 - constants
_DUE: Final = """
SELECT p.letter_id, l.message_id FROM web_post p JOIN web_letter l ON l.id = p.letter_id
WHERE p.state = 'waiting' AND p.due <= ? AND l.message_id IS NOT NULL ORDER BY p.due LIMIT ?
"""
_OVER: Final = """
DELETE FROM web_post WHERE
  (state IN ('waiting', 'queued') AND letter_id NOT IN (SELECT id FROM web_letter WHERE ending IS NULL AND refused = 0))
  OR (state IN ('declined', 'removed') AND letter_id NOT IN (SELECT id FROM web_letter))
"""
_QUEUE: Final = "SELECT p.letter_id, p.language, p.signature, p.words FROM web_post p WHERE p.state = 'queued' AND"
_PUBLISH: Final = """
UPDATE web_post SET state = 'published', words = '', shown = ?, public_id = ?, published = ?,
  secret_hash = (SELECT l.secret_hash FROM web_letter l WHERE l.id = web_post.letter_id)
WHERE letter_id = ? AND state = 'queued'
"""
_WITHDRAWN: Final = 2
"""In the place of 1, which a letter has that is offered."""
_WITHDRAW: Final = "UPDATE web_letter SET wall = ? WHERE id = ? AND wall = 1"
_DECLINE: Final = (
    "UPDATE web_post SET state = 'declined', words = '', shown = '', secret_hash = NULL"
    " WHERE letter_id = ? AND state = ?"
)


class WallState(StrEnum):
    """What a letter's writer is told of it; whether its recipient keeps it private is told to nobody."""

    NONE = "none"
    OFFERED = "offered"
    PUBLISHED = "published"
    OFF = "off"
    """Somebody else decided so: its recipient or a moderator, which of them is told to nobody."""
    WITHDRAWN = "withdrawn"
    """Its writer did."""


@dataclass(frozen=True, slots=True)
class Post:
    """What the wall shows. `published` is a day; `letter_id` is for the desk alone."""

    id: str
    language: str
    signature: str
    published: datetime
    shown: str
    letter_id: str


@dataclass(frozen=True, slots=True)
class OwnedPost:
    """A post as its writer takes it down by their letter's secret link; the letter may be forgotten."""

    letter_id: str
    language: str


@dataclass(frozen=True, slots=True)
class OfferedPost:
    """A letter that waits for a moderator to show it."""

    letter_id: str
    language: str
    signature: str
    words: str


@dataclass(frozen=True, slots=True)
class WallPage:
    """Posts of one page, and how many pages there are."""

    posts: tuple[Post, ...]
    number: int
    pages: int


class WallStore:
    """Posts in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock, entropy: Entropy) -> None:
        self._database = database
        self._clock = clock
        self._entropy = entropy
        self._log = DecisionLog(database, clock, entropy)

    async def page(self, language: str, number: int) -> WallPage:
        """Page `number`, from 1, of the posts in a language, the latest first; an empty one past the last."""
        count = f"SELECT COUNT(*) FROM web_post p WHERE p.language = ? AND {SHOWN}"  # noqa: S608 - constants

        def work(connection: Connection) -> WallPage:
            [(posts,)] = connection.execute(count, (language,))
            rows = list(connection.execute(f"{_LATEST} OFFSET ?", (language, PAGE, (number - 1) * PAGE)))
            return WallPage(tuple(read_post(row) for row in rows), number, max(1, -(-posts // PAGE)))

        return await self._database.read(work)

    async def latest(self, language: str, count: int) -> tuple[Post, ...]:
        """The latest posts in a language, `count` at most."""
        return tuple(read_post(row) for row in await rows_of(self._database, _LATEST, (language, count)))

    async def find(self, public_id: str) -> Post | None:
        """The post of a public address, if it shows."""
        sql = f"SELECT {COLUMNS} FROM web_post p WHERE p.public_id = ? AND {SHOWN}"  # noqa: S608 - constants
        rows = await rows_of(self._database, sql, (public_id,))
        return read_post(rows[0]) if rows else None

    async def of_letter(self, letter_id: str) -> Post | None:
        """The post of a letter, if it shows."""
        sql = f"SELECT {COLUMNS} FROM web_post p WHERE p.letter_id = ? AND {SHOWN}"  # noqa: S608 - constants
        rows = await rows_of(self._database, sql, (letter_id,))
        return read_post(rows[0]) if rows else None

    async def of_secret(self, secret_hash: bytes) -> OwnedPost | None:
        """What stands on the wall of the letter that a secret link was of, even if a report hides it."""
        sql = "SELECT letter_id, language FROM web_post WHERE secret_hash = ?"
        rows = await rows_of(self._database, sql, (secret_hash,))
        return OwnedPost(*rows[0]) if rows else None

    async def keeps_words(self, letter_id: str) -> bool:
        """Whether words of a letter are kept for the wall, or stand on it."""
        sql = "SELECT 1 FROM web_post WHERE letter_id = ? AND state IN ('waiting', 'queued', 'published')"
        return bool(await rows_of(self._database, sql, (letter_id,)))

    async def state_of(self, letter_id: str) -> WallState:
        """What the writer of a letter is told."""
        if await self.of_letter(letter_id) is not None:
            return WallState.PUBLISHED
        sql = """
        SELECT l.wall, p.state, p.public_id FROM web_letter l LEFT JOIN web_post p ON p.letter_id = l.id WHERE l.id = ?
        """
        rows = await rows_of(self._database, sql, (letter_id,))
        if not rows or not rows[0][0]:
            return WallState.NONE
        offered, state, public_id = rows[0]
        if offered == _WITHDRAWN:
            return WallState.WITHDRAWN
        return WallState.OFF if state == "declined" or public_id is not None else WallState.OFFERED

    async def withdraw(self, letter_id: str) -> None:
        """Its writer offers it no more: its words are forgotten, and it goes at once if it shows."""

        def work(connection: Connection) -> None:
            connection.execute(_WITHDRAW, (_WITHDRAWN, letter_id))
            connection.execute(REMOVE_POST, (letter_id,))

        await self._database.write(work)

    async def arrivals(self, limit: int) -> list[tuple[str, str]]:
        """Letters to ask the relay about: their ids, and the relay's."""
        rows = await rows_of(self._database, _DUE, (to_millis(self._clock.now()), limit))
        return [(letter_id, message_id) for letter_id, message_id in rows]

    async def queue(self, letter_id: str) -> None:
        """The letter arrived a while ago: a moderator may look."""
        await change(
            self._database,
            ("UPDATE web_post SET state = 'queued' WHERE letter_id = ? AND state = 'waiting'", (letter_id,)),
        )

    async def drop(self, letter_id: str) -> None:
        """The letter never arrived."""
        await change(self._database, ("DELETE FROM web_post WHERE letter_id = ? AND state = 'waiting'", (letter_id,)))

    async def look_again(self, letter_id: str, wait: timedelta) -> None:
        """The letter is still on its way."""
        due = to_millis(self._clock.now() + wait)
        await change(
            self._database, ("UPDATE web_post SET due = ? WHERE letter_id = ? AND state = 'waiting'", (due, letter_id))
        )

    async def offered(self, limit: int = 200) -> list[OfferedPost]:
        """What waits for a moderator, the oldest first."""
        rows = await rows_of(self._database, f"{_QUEUE} {_UNDISPUTED} ORDER BY p.due, p.letter_id LIMIT ?", (limit,))
        return [OfferedPost(*row) for row in rows]

    async def find_offered(self, letter_id: str) -> OfferedPost | None:
        """One that waits."""
        rows = await rows_of(self._database, f"{_QUEUE} {_UNDISPUTED} AND p.letter_id = ?", (letter_id,))
        return OfferedPost(*rows[0]) if rows else None

    async def publish(self, decision: Decision, shown: str) -> bool:
        """Show `shown` under a new address; False if it does not wait any more."""
        day = to_millis(self._clock.now()) // _DAY * _DAY
        values = (shown, base32(self._entropy.bytes(_ID)), day, decision.subject)
        return await self._log.commit(decision, (_PUBLISH, values))

    async def decline(self, decision: Decision) -> bool:
        """Never show it, and forget its words; False if it does not wait any more."""
        return await self._log.commit(decision, (_DECLINE, (decision.subject, "queued")))

    async def take_down(self, decision: Decision) -> bool:
        """Show it no more; False if it is not on the wall."""
        return await self._log.commit(decision, (_DECLINE, (decision.subject, "published")))

    async def forget(self) -> None:
        """Delete what can never be shown: letters that ended, and what was decided about forgotten ones."""
        await change(self._database, (_OVER, ()))


def read_post(row: tuple[Any, ...]) -> Post:
    """The post of a row of public id, language, signature, day, text and letter."""
    public_id, language, signature, published, shown, letter_id = row
    return Post(public_id, language, signature, from_millis(published), shown, letter_id)
