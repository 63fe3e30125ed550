"""The weekly: the new posts of the wall, mailed once a week and language to those who confirmed that they want it.

It goes out in a stream of its own under an address of its own. A mail's key at the relay is week, language and mailbox,
so a mail that is handed over again, after a crash or by another worker, is the same mail; one that could no longer be
told from a first one is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from jinja2 import Environment

from relay.client.contract import Letter, LetterRefused, RelayClient
from relay.clock import Clock
from relay.log import Log
from web.catalogue import Language, Words
from web.mail import FooterLine, Mail, rights_line
from web.mailbox import MailboxHasher
from web.options import FrontOptions
from web.plain_text import paragraphs
from web.wall import Post
from web.weekly_links import WeeklyLinks, Wish
from web.weekly_store import Owed, WeeklyStore

STREAM: Final = "weekly"

DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_HOUR: Final = 9
_BATCH: Final = 50
_TIMEOUT: Final = 30.0

_log = Log("weekly")


def week_due(day: str, now: datetime) -> str | None:
    """The ISO week that should be out by `now` (UTC) if it goes out on `day` at nine; None before that."""
    now = now.astimezone(UTC)
    due = (now - timedelta(days=now.weekday() - DAYS.index(day))).replace(hour=_HOUR, minute=0, second=0)
    year, week, _ = now.isocalendar()
    return f"{year}-W{week:02}" if now >= due else None


class WeeklyWriter:
    """Makes the mails."""

    def __init__(self, options: FrontOptions, templates: Environment, links: WeeklyLinks) -> None:
        self._options = options
        self._template = templates.get_template("mail.html")
        self._links = links

    def confirmation(self, wish: Wish, words: Words, key: str) -> Letter:
        """The mail that asks whether an address was typed by its owner; nobody else is told of its recipient."""
        url = f"{self._options.base_url}/{wish.language.value}/weekly/confirm/{self._links.confirm(wish)}"
        lines = (words("weekly.mail_ask", site=self._options.base_url), words("weekly.mail_open"), url)
        footer = (FooterLine(words("weekly.mail_ignore")), rights_line(self._options, words))
        mail = self._mail(wish, words("weekly.mail_subject"), tuple((line,) for line in lines), footer)
        return replace(self._letter(replace(mail, links=frozenset({url})), key), unnamed=True)

    def digest(self, wish: Wish, week: str, posts: Sequence[Post], words: Words, key: str) -> Letter:
        """A week for one subscriber: each letter, who signed it and when it came to the wall, and where it stands."""
        base = f"{self._options.base_url}/{wish.language.value}"
        leave = f"{base}/weekly/leave/{self._links.seal(wish.address)}"
        body: list[tuple[str, ...]] = []
        for post in posts:
            signed = f"{words(f'signature.{post.signature}.name')}, {words.day(post.published)}"
            body += [*paragraphs(post.shown), (signed, f"{base}/wall/{post.id}")]
        footer = (
            FooterLine(words("weekly.mail_online"), f"{base}/weekly/{week}"),
            FooterLine(words("weekly.mail_why", site=self._options.base_url)),
            FooterLine(words("weekly.mail_leave"), leave),
            rights_line(self._options, words),
        )
        subject = words("weekly.mail_digest", week=week.partition("W")[2].lstrip("0"))
        headers = {"List-Unsubscribe": f"<{leave}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        mail = self._mail(wish, subject, tuple(body), footer)
        links = frozenset(f"{base}/wall/{post.id}" for post in posts)
        return replace(self._letter(replace(mail, links=links), key), headers=headers)

    def _mail(
        self, wish: Wish, subject: str, body: tuple[tuple[str, ...], ...], footer: tuple[FooterLine, ...]
    ) -> Mail:
        sender = self._options.weekly_sender
        return Mail(wish.language.value, sender, "Leak", wish.address, subject, body, footer, STREAM)

    def _letter(self, mail: Mail, key: str) -> Letter:
        return mail.letter(self._template.render(mail=mail), key)


@dataclass(frozen=True, slots=True)
class WeeklyParts:
    """What the weekly is made with."""

    store: WeeklyStore
    writer: WeeklyWriter
    links: WeeklyLinks
    mailboxes: MailboxHasher


class WeeklyKeeper:
    """Makes each week when its time has come, and hands its mails over."""

    def __init__(
        self, parts: WeeklyParts, relay: RelayClient, words: Mapping[Language, Words], day: str, clock: Clock
    ) -> None:
        self._store = parts.store
        self._writer = parts.writer
        self._links = parts.links
        self._relay = relay
        self._words = words
        self._day = day
        self._clock = clock

    async def look(self) -> None:
        """Once a minute, by every worker. Raises SpoolUnavailableError, TimeoutError."""
        if week := week_due(self._day, self._clock.now()):
            for language in Language:
                if not await self._store.is_made(week, language.value):
                    posts = await self._store.make(week, language.value)
                    _log.info("week-made", week=week, language=language.value, posts=posts)
        await self._store.give_up()
        while owed := await self._store.owed(_BATCH):
            await self._store.begin(owed)
            for one in owed:
                if not await self._hand_over(one):
                    return

    async def _hand_over(self, owed: Owed) -> bool:
        """Whether the relay takes mails; False leaves this one for the next look."""
        address, language = self._links.opened(owed.sealed), Language(owed.language)
        posts = await self._store.posts(owed.week, owed.language)
        if address is None or await self._relay.suppressed(address, STREAM):
            await self._store.leave([owed.mailbox])
        elif posts:
            key = f"{STREAM}-{owed.week}-{owed.language}-{owed.mailbox.hex()}"
            wish = Wish(address, language)
            letter = self._writer.digest(wish, owed.week, posts, self._words[language], key)
            async with asyncio.timeout(_TIMEOUT):
                answer = await self._relay.submit(letter)
            if isinstance(answer, LetterRefused):
                _log.warning("weekly-not-taken", why=answer.reason)
                if answer.temporary:
                    return False
        await self._store.settle(owed)
        return True
