"""Brings replies from the relay to the pages of whoever wrote the letters: fetched, cleaned, judged, kept; then let go.

Beside the courier's rounds, once a minute. The relay keeps the words until it hears that they are here, so whoever dies
in between does it again. Moderation is the letters': what it holds waits for a person, what it refuses for its author
to ask one. While too many wait for people, what would be held stays at the relay. No link and no mail address of a
reply is shown: a link could tell its owner who follows it, and our own stand in the letter that people quote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from relay.client.contract import LetterReply, RelayClient
from relay.clock import Clock
from relay.log import Log
from web.judgement import Judge
from web.mailbox import MailboxHasher
from web.moderation.ruling import Step
from web.plain_text import clean_message
from web.redaction import without_addresses
from web.replies import NewReply, ReplyStore

MOST_CHARACTERS: Final = 2000
UNKNOWN_SECONDS: Final = 3600.0
"""For so long a reply may wait for its letter: what was handed over may not be noted here yet."""

_BATCHES: Final = 200
_ASK_TIMEOUT: Final = 10.0

_log = Log("front")


class ReplyKeeper:
    """Fetches and screens."""

    def __init__(
        self,
        relay: RelayClient,
        store: ReplyStore,
        judge: Judge,
        mailboxes: MailboxHasher,
        clock: Clock,
    ) -> None:
        self._relay = relay
        self._store = store
        self._judge = judge
        self._mailboxes = mailboxes
        self._clock = clock
        self._unknown: dict[str, float] = {}
        """When replies to letters that are not known here were first told."""

    async def look(self) -> None:
        """Everything that waits. Raises SpoolUnavailableError, TimeoutError: the rest is told again."""
        # Of a reply that another process took, or that the relay has given up, nothing is told any more.
        long_ago = self._clock.monotonic() - 2 * UNKNOWN_SECONDS
        self._unknown = {message: since for message, since in self._unknown.items() if since > long_ago}
        taken: Sequence[str] = ()
        for _ in range(_BATCHES):
            async with asyncio.timeout(_ASK_TIMEOUT):
                replies = await self._relay.replies(taken)
            taken = [one.message_id for one in replies if await self._take(one)]
            if not taken:
                return

    async def _take(self, reply: LetterReply) -> bool:
        """Keep it, or do without it; False if it is to be told again."""
        letter_id = await self._store.letter_of(reply.message_id)
        if letter_id is None:
            since = self._unknown.setdefault(reply.message_id, self._clock.monotonic())
            if self._clock.monotonic() - since < UNKNOWN_SECONDS:
                return False
            _log.warning("reply-dropped", message=reply.message_id, why="no letter here is known to the relay by it")
        self._unknown.pop(reply.message_id, None)
        words = readable(reply.words)
        if letter_id is None or not words:
            return True
        ruling = self._judge.rule_on_words(words)
        if ruling.step is Step.HOLD and not await self._store.has_room():
            _log.warning("reply-put-off", remedy="leak letters, or the desk: too many replies wait for a person")
            return False
        rules = tuple(rule.value for rule in ruling.rules) if ruling.step.stops else ()
        mailbox = self._mailboxes.of(reply.recipient)
        await self._store.add(NewReply(letter_id, mailbox, ruling.step, rules, words))
        _log.info("reply-kept", step=ruling.step.value)
        return True


def readable(words: str) -> str:
    """What may be shown of a reply: plain text as letters are, without addresses and links, 2,000 characters."""
    return without_addresses(clean_message(words[: 4 * MOST_CHARACTERS]))[:MOST_CHARACTERS].strip()
