"""`/r/{token}`: what the recipient of a letter may ask of us. No login; GET asks, POST acts.

Mail scanners open links, so nothing is changed by looking. The link proves that its holder got the letter; it names
the address, which stands nowhere else in the front. Each act is harmless when it is done again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.client.contract import RelayClient
from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.catalogue import Language, Words
from web.errand_table import Errand
from web.errands import Errands
from web.judgement import Judge
from web.letters import WAITS
from web.links import Addressee, LinkKind, RecipientLinks
from web.mailbox import masked
from web.moderation.ruling import Rule, Step
from web.plain_text import clean_message
from web.render import Renderer
from web.reports import Report, ReportState
from web.requests import language_of, read_fields
from web.sharing import share_links
from web.stores import Stores
from web.weekly_links import CONFIRM_LIFE

_STATE_TIMEOUT: Final = 5.0
_MOST_WORDS: Final = 20_000
"""Characters: a whole letter of ours as it came, its headers included, has fewer."""
_MOST_JUDGED: Final = 2_000
"""Characters of a report's words in which somebody may say that they are not well: as many as a letter has."""
_REPORTABLE: Final = tuple(rule for rule in Rule if rule is not Rule.LANGUAGE)

_log = Log("front")


@dataclass(frozen=True, slots=True)
class RecipientParts:
    """What these pages work with."""

    base_url: str
    relay: RelayClient
    errands: Errands
    stores: Stores
    links: RecipientLinks
    renderer: Renderer
    judge: Judge


@dataclass(frozen=True, slots=True)
class Typed:
    """What stood in a report that has to be corrected."""

    rule: str = ""
    words: str = ""
    problem: str = ""
    """A text `recipient.problem_<problem>`: of the rule that is missing, or of too many words."""

    @property
    def excess(self) -> int:
        """Characters that are too many."""
        return max(0, len(self.words) - _MOST_WORDS)


_NOTHING: Final = Typed()


def _urged(reported: ReportState | None) -> bool:
    """Whether somebody says that a letter wants them to harm themselves: they see who helps, whatever is decided."""
    return reported is not None and Rule.SELF_HARM in reported.rule.split()


class RecipientPages:
    """The two handlers of a recipient's link."""

    def __init__(self, parts: RecipientParts) -> None:
        self._parts = parts
        self._stores = parts.stores

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET: the questions."""
        addressee = self._addressee(request)
        if addressee is None:
            return self._unknown(request)
        return await self._page(await self._language(request, addressee), addressee)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """POST action=never, report, wall, unreply, appeal or erase."""
        fields = await read_fields(request, self._parts.base_url)
        addressee = self._addressee(request)
        if addressee is None:
            return self._unknown(request)
        language = await self._language(request, addressee)
        match fields.get("action"):
            case "never":
                done = await self._parts.errands.do(Errand.REFUSE, addressee.address)
                _log.info("recipient-refused")
                return await self._page(language, addressee, "never" if done else "")
            case "report":
                return await self._report(language, addressee, fields)
            case "wall":
                await self._stores.letters.keep_off_wall(addressee.letter_id)
                return await self._page(language, addressee, "wall")
            case "unreply":
                await self._stores.replies.close(addressee.letter_id)
                return await self._page(language, addressee, "unreply")
            case "appeal":
                return await self._appeal(language, addressee)
            case "erase":
                await self._erase(addressee)
                return await self._page(language, addressee, "erase")
            case _:
                return await self._page(language, addressee)

    async def _report(self, language: Language, addressee: Addressee, fields: Mapping[str, str]) -> web.Response:
        rule = fields.get("rule", "")
        typed = fields.get("words", "").replace("\r\n", "\n")
        if rule not in {one.value for one in _REPORTABLE}:
            return await self._page(language, addressee, typed=Typed("", typed, "rule"))
        if len(typed) > _MOST_WORDS:
            return await self._page(language, addressee, typed=Typed(rule, typed, "words"))
        words = clean_message(typed)
        filed = await self._stores.reports.file(
            Report(addressee.letter_id, rule, words), self._stores.mailboxes.of(addressee.address)
        )
        if filed.waits:
            _log.warning("letter-reported", letter=addressee.letter_id, rule=rule, remedy="leak letters reports")
        despairs = self._parts.judge.rule_on_words(words[:_MOST_JUDGED]).help_first
        return await self._page(language, addressee, filed.value, despairs=despairs)

    async def _appeal(self, language: Language, addressee: Addressee) -> web.Response:
        """A person looks at a reply that the program refused, or another person did."""
        if not await self._stores.replies.has_room():
            return await self._page(language, addressee, "appeal_later")
        if await self._stores.replies.appeal(addressee.letter_id):
            _log.warning("reply-contested", letter=addressee.letter_id, remedy="the desk, held replies")
            return await self._page(language, addressee, "appeal")
        return await self._page(language, addressee)

    async def _erase(self, addressee: Addressee) -> None:
        """Everything about the address but the hash of a refusal, without which a refusal could not hold."""
        await self._stores.reports.erase(addressee.letter_id)
        await self._stores.letters.keep_off_wall(addressee.letter_id)
        await self._stores.letters.erase_recipient(addressee.address)
        await self._stores.doorbell.erase(addressee)
        mailboxes = self._stores.mailboxes.all_of(addressee.address)
        await self._stores.weekly.erase(mailboxes)
        await self._stores.replies.erase(addressee.letter_id, mailboxes)
        await self._parts.errands.do(Errand.ERASE, addressee.address)
        _log.info("recipient-erased")

    async def _page(
        self,
        language: Language,
        addressee: Addressee,
        done: str = "",
        typed: Typed = _NOTHING,
        *,
        despairs: bool = False,
    ) -> web.Response:
        words = self._parts.renderer.words(language)
        post = await self._stores.wall.of_letter(addressee.letter_id)
        refuses = await self._parts.errands.refuses(addressee.address)
        reported = await self._stores.reports.of_letter(addressee.letter_id)
        reply = await self._stores.replies.standing(addressee.letter_id)
        replied = reply is not None and reply.has_words
        despairs = despairs or _urged(reported) or (reply is not None and reply.step is Step.CARE)
        where = f"{self._parts.base_url}/{language}/wall/{post.id}" if post is not None else ""
        values = {
            "post": where,
            "is_private": await self._is_private(addressee.letter_id),
            "shares": share_links(where, words) if where else (),
            "address": masked(addressee.address),
            "token": self._parts.links.token(LinkKind.RECIPIENT, addressee),
            "done": done,
            "typed": typed,
            "helps": self._parts.judge.wording(language).helps if despairs else (),
            "rules": [rule.value for rule in _REPORTABLE],
            "reported": reported,
            "decided": words.around(reported.decided) if reported and reported.decided else "",
            "held": [
                words("recipient.holds_link"),
                *await self._held(words, addressee, refuses=refuses),
                *([words("recipient.holds_reply")] if replied else []),
            ],
            "is_refused": refuses is True,
            "reply": reply,
            "reply_rules": self._parts.judge.told(reply.rules, language) if reply is not None else (),
            "reply_until": words.around(reply.until) if reply is not None and reply.until else "",
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if typed.problem else HTTPStatus.OK
        return self._parts.renderer.page("recipient.html", language, values, status=status)

    async def _held(self, words: Words, addressee: Addressee, *, refuses: bool | None) -> list[str]:
        """What we hold about the recipient (GDPR, article 15), one sentence each."""
        told = []
        record = await self._stores.letters.find_by_id(addressee.letter_id)
        if record is not None:
            # Never when it was written: its departure is drawn by lot so that nobody who gets it learns that.
            at = words.around(record.left) if record.left is not None else ""
            told.append(words("recipient.holds_letter", moment=at) if at else words("recipient.holds_leaving"))
            if record.message_id is not None and await self._relay_knows(record.message_id):
                told.append(words("recipient.holds_relay"))
        if await self._stores.doorbell.waits(addressee):
            told.append(words("recipient.holds_waiting", days=WAITS.days))
        if await self._stores.wall.keeps_words(addressee.letter_id):
            told.append(words("recipient.holds_words"))
        if await self._stores.reports.of_letter(addressee.letter_id) is not None:
            told.append(words("recipient.holds_report"))
        if refuses is not False:
            told.append(words("recipient.holds_refusal" if refuses else "recipient.holds_unseen"))
        return [*told, *await self._held_of_mailbox(words, addressee.address)]

    async def _held_of_mailbox(self, words: Words, address: str) -> list[str]:
        """What is kept by the mailbox, whichever letter its link came with."""
        mailboxes, told = self._stores.mailboxes.all_of(address), []
        if await self._stores.doorbell.knows(address):
            told.append(words("recipient.holds_known"))
        if await self._stores.weekly.is_subscribed(mailboxes):
            told.append(words("recipient.holds_weekly"))
        if await self._stores.weekly.is_asked(mailboxes):
            told.append(words("recipient.holds_question", days=CONFIRM_LIFE.days))
        return [*told, words("recipient.holds_rest")]

    async def _is_private(self, letter_id: str) -> bool:
        """Whether no wall will ever show the letter: its recipient said so, or nothing of it is left to be shown."""
        record = await self._stores.letters.find_by_id(letter_id)
        return record.off_wall if record is not None else not await self._stores.wall.keeps_words(letter_id)

    async def _relay_knows(self, message_id: str) -> bool:
        try:
            async with asyncio.timeout(_STATE_TIMEOUT):
                return await self._parts.relay.state(message_id) is not None
        except (TimeoutError, SpoolUnavailableError) as error:
            _log.warning("state-not-known", why=str(error) or "timed out")
            return True

    async def _language(self, request: web.Request, addressee: Addressee) -> Language:
        record = await self._stores.letters.find_by_id(addressee.letter_id)
        return language_of(request, record.language if record is not None else "")

    def _addressee(self, request: web.Request) -> Addressee | None:
        return self._parts.links.open(LinkKind.RECIPIENT, request.match_info["token"])

    def _unknown(self, request: web.Request) -> web.StreamResponse:
        return self._parts.renderer.notice("no_link", language_of(request), HTTPStatus.NOT_FOUND)
