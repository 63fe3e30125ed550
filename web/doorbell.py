"""First contact by doorbell: a short mail asks first, and `/read/{token}` shows the letter to whoever wants it.

Mail scanners open links, so GET asks and POST shows. Who has asked for one letter gets the next ones directly. A letter
nobody asks for is deleted after fourteen days. The address is in the link alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from web.catalogue import Language
from web.judgement import Judge
from web.letters import WAITS
from web.links import Addressee, LinkKind, RecipientLinks
from web.mail import crisis_lines
from web.mailbox import MailboxHasher, masked
from web.plain_text import paragraphs
from web.render import Renderer
from web.requests import language_of, read_fields

_FIND: Final = """
SELECT w.sender_name, w.subject, w.message FROM web_waiting w JOIN web_letter l ON l.id = w.letter_id
WHERE w.letter_id = ? AND w.until > ? AND l.message_id IS NOT NULL
"""
_FORGET: Final = """
DELETE FROM web_waiting WHERE until <= ?
  OR letter_id IN (SELECT id FROM web_letter WHERE ending IS NOT NULL OR refused = 1)
"""

_KNOW: Final = """
INSERT INTO web_known (mailbox, at) VALUES (?, ?) ON CONFLICT (mailbox) DO UPDATE SET at = excluded.at
"""
KNOWN_KEPT: Final = timedelta(days=366)
"""So long after the last letter that was read by its doorbell, the mailbox is known; then it is asked anew."""


@dataclass(frozen=True, slots=True)
class WaitingLetter:
    """A letter that may be asked for: the name it is signed with, its subject and its words."""

    sender_name: str
    subject: str
    message: str


class DoorbellStore:
    """Waiting letters and known mailboxes. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, mailboxes: MailboxHasher, clock: Clock) -> None:
        self._database = database
        self._mailboxes = mailboxes
        self._clock = clock

    async def knows(self, address: str) -> bool:
        """Whether somebody at this mailbox has asked for a letter before."""
        hashes = self._mailboxes.all_of(address)
        marks = ", ".join("?" * len(hashes))
        return bool(await rows_of(self._database, f"SELECT 1 FROM web_known WHERE mailbox IN ({marks})", hashes))  # noqa: S608 - marks

    async def written_in(self, addressee: Addressee) -> str:
        """The language of a letter's mail; "" once it is forgotten."""
        rows = await rows_of(self._database, "SELECT language FROM web_letter WHERE id = ?", (addressee.letter_id,))
        return str(rows[0][0]) if rows else ""

    async def read(self, addressee: Addressee) -> WaitingLetter | None:
        """The letter, and its mailbox is known from now on; None if it never left, or its time is over."""
        rows = await rows_of(self._database, _FIND, (addressee.letter_id, to_millis(self._clock.now())))
        if not rows:
            return None
        known = (self._mailboxes.of(addressee.address), to_millis(self._clock.now()))
        await change(self._database, (_KNOW, known))
        return WaitingLetter(*rows[0])

    async def keeps_any(self) -> bool:
        """Whether anything is kept: a front that rings no more keeps what it has until its time is over."""
        kept = "SELECT 1 WHERE EXISTS (SELECT 1 FROM web_known) OR EXISTS (SELECT 1 FROM web_waiting)"
        return bool(await rows_of(self._database, kept))

    async def waits(self, addressee: Addressee) -> bool:
        """Whether the letter can still be asked for."""
        return bool(await rows_of(self._database, _FIND, (addressee.letter_id, to_millis(self._clock.now()))))

    async def erase(self, addressee: Addressee) -> None:
        """Delete the letter, and that its mailbox has asked for one."""
        hashes = self._mailboxes.all_of(addressee.address)

        def work(connection: Connection) -> None:
            connection.execute("DELETE FROM web_waiting WHERE letter_id = ?", (addressee.letter_id,))
            connection.executemany("DELETE FROM web_known WHERE mailbox = ?", [(one,) for one in hashes])

        await self._database.write(work)

    async def forget(self) -> None:
        """Delete letters whose time is over, those that ended before they left, and mailboxes long unheard of."""
        now = self._clock.now()

        def work(connection: Connection) -> None:
            connection.execute(_FORGET, (to_millis(now),))
            connection.execute("DELETE FROM web_known WHERE at <= ?", (to_millis(now - KNOWN_KEPT),))

        await self._database.write(work)


class ReadPages:
    """The two handlers of a doorbell's link."""

    def __init__(
        self, base_url: str, store: DoorbellStore, links: RecipientLinks, renderer: Renderer, judge: Judge
    ) -> None:
        self._base_url = base_url
        self._store = store
        self._judge = judge
        self._links = links
        self._renderer = renderer

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """GET: somebody wrote; read it?"""
        addressee = self._addressee(request)
        if addressee is None:
            return self._gone(request)
        language = language_of(request, await self._store.written_in(addressee))
        is_known = await self._store.knows(addressee.address)
        return self._page(language, addressee, None, is_over=not await self._store.waits(addressee), is_known=is_known)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """POST: the letter."""
        await read_fields(request, self._base_url)
        addressee = self._addressee(request)
        if addressee is None:
            return self._gone(request)
        language = language_of(request, await self._store.written_in(addressee))
        letter = await self._store.read(addressee)
        return self._page(language, addressee, letter, is_over=letter is None)

    def _page(
        self,
        language: Language,
        addressee: Addressee,
        letter: WaitingLetter | None,
        *,
        is_over: bool,
        is_known: bool = True,
    ) -> web.Response:
        """The page. `is_known`: whether this mailbox has read a letter before, perhaps this one."""
        crisis = self._judge.crisis(self._judge.rule_on_words(letter.message), language) if letter else ()
        values = {
            "crisis": crisis_lines(crisis, self._renderer.words(language)),
            "address": masked(addressee.address),
            "token": self._links.token(LinkKind.READ, addressee),
            "letter": letter,
            "body": paragraphs(letter.message) if letter else (),
            "is_over": is_over,
            "is_known": is_known,
            "theirs": self._links.recipient_url(addressee).removeprefix(self._base_url),
            "days": WAITS.days,
        }
        return self._renderer.page("read.html", language, values)

    def _addressee(self, request: web.Request) -> Addressee | None:
        return self._links.open(LinkKind.READ, request.match_info["token"])

    def _gone(self, request: web.Request) -> web.Response:
        return self._renderer.notice("no_link", language_of(request), HTTPStatus.NOT_FOUND)
