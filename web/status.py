"""`/s/{secret}`: where a letter stands, in plain words.

Its writer may take it back until it leaves, keep it off the wall at any time, and delete what is theirs of it once it
has ended.

When the letter is forgotten and a copy of it stands on the wall, the link still leads to taking that down.
Whoever has the link sees the stage and the reasons, never the recipient; the words only when the letter goes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.catalogue import Language, Words
from web.haste import in_steps
from web.letters import LetterRecord, hash_secret
from web.moderation.ruling import Step
from web.parts import Parts
from web.plain_text import paragraphs
from web.preview_page import tell_ahead
from web.requests import language_of, read_fields
from web.row import Place
from web.timeline import WITHDRAWN, Stage, Standing, Teller

_STATE_TIMEOUT: Final = 5.0
_NOBODYS: Final = "0" * 26
"""The relay's id of no letter."""

_RENEWED_AFTER: Final = 30
"""Seconds; every browser knows the field, with scripts or without, and the page says how to stop it."""

_log = Log("front")


class StatusPages:
    """The two handlers of a status link."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET: where the letter stands. A wrong secret takes the same look-up as a right one."""
        async with in_steps(self._parts.clock, self._parts.options.answer_step):
            return await self._show(request)

    async def _show(self, request: web.Request) -> web.StreamResponse:
        secret = request.match_info["secret"]
        record = await self._parts.stores.letters.find(hash_secret(secret))
        if record is None:
            return await self._show_post(request, secret)
        language = _language(request, record.language)
        values = await self._values(record, language)
        if request.query.get("ask") == "forget" and values["is_final"]:
            return self._ask_to_forget(secret, language, values)
        renews = not values["is_final"] and request.query.get("renew") != "no"
        shown = {"secret": secret, "link": f"{self._parts.options.base_url}/s/{secret}", "renews": renews}
        response = self._parts.renderer.page("status.html", language, {**values, **shown})
        if renews:
            response.headers["Refresh"] = str(_RENEWED_AFTER)
        return response

    async def act(self, request: web.Request) -> web.StreamResponse:
        """POST action=cancel: take the letter back if nobody has begun to hand it over; then the page again.

        POST action=private: show it on no wall, or no more. POST action=forget: delete what is its writer's of a letter
        that ended. Whether it has ended is looked up, which takes longer for one that is withheld than for another.
        """
        fields = await read_fields(request, self._parts.options.base_url)
        async with in_steps(self._parts.clock, self._parts.options.answer_step):
            return await self._act(request, fields)

    async def _act(self, request: web.Request, fields: Mapping[str, str]) -> web.StreamResponse:
        secret_hash = hash_secret(request.match_info["secret"])
        record = await self._parts.stores.letters.find(secret_hash)
        if record is None:
            return await self._take_down(request, secret_hash, fields)
        match fields.get("action"):
            case "cancel" if await self._parts.stores.letters.cancel(record.id, self._parts.clock.now()):
                _log.info("letter-cancelled")
            case "private":
                await self._parts.wall.withdraw(record.id)
                _log.info("letter-kept-private")
            case "forget" if (await self._standing(record)).stage.final:
                await self._parts.stores.letters.disown(record.id, self._parts.entropy.bytes(32))
                _log.info("letter-disowned")
                return self._parts.renderer.page("forget.html", _language(request, record.language), {"is_done": True})
        return self._parts.renderer.redirect(request.path)

    async def _show_post(self, request: web.Request, secret: str) -> web.StreamResponse:
        """What is left to a writer whose letter is forgotten: taking it down, if it is on the wall still."""
        post = await self._parts.wall.of_secret(hash_secret(secret))
        if post is None:
            return self._parts.renderer.notice("not_found", language_of(request), HTTPStatus.NOT_FOUND)
        values = {"secret": secret, "is_done": False}
        return self._parts.renderer.page("status_post.html", _language(request, post.language), values)

    async def _take_down(
        self, request: web.Request, secret_hash: bytes, fields: Mapping[str, str]
    ) -> web.StreamResponse:
        post = await self._parts.wall.of_secret(secret_hash)
        if post is None:
            return self._parts.renderer.notice("not_found", language_of(request), HTTPStatus.NOT_FOUND)
        if fields.get("action") != "private":
            return self._parts.renderer.redirect(request.path)
        await self._parts.wall.withdraw(post.letter_id)
        _log.info("post-taken-down")
        return self._parts.renderer.page("status_post.html", _language(request, post.language), {"is_done": True})

    def _ask_to_forget(self, secret: str, language: Language, values: dict[str, object]) -> web.Response:
        """What goes and what stays, said before anything does."""
        words_days = self._parts.options.content_kept.days
        shown = {**values, "secret": secret, "is_done": False, "words_days": words_days}
        shown["seals"] = bool(self._parts.sealing)
        return self._parts.renderer.page("forget.html", language, shown)

    async def _values(self, record: LetterRecord, language: Language) -> dict[str, object]:
        now, words = self._parts.clock.now(), self._parts.renderer.words(language)
        standing = await self._standing(record)
        when = standing.next_step
        waits = standing.stage is Stage.COOLING and when is not None
        # Where a mail may ask first, it stands elsewhere than a letter: whose reader gets which is nobody's to know.
        has_spot = waits and not self._parts.options.doorbell
        place = await self._parts.row.place_of(record.id) if has_spot else None
        if waits and when and record.expected:
            when = max(when, record.expected)
        return {
            "record": record,
            "wall": (await self._parts.wall.state_of(record.id)).value,
            "standing": standing,
            "is_final": standing.stage.final,
            "departs": _told_departure(words, place, when) if waits and when else "",
            "before": "" if place is None else tell_ahead(words, place.ahead),
            "decided_by": words.around(when) if standing.stage is Stage.HELD and when else "",
            "may_cancel": standing.stage in {Stage.COOLING, Stage.HELD} and record.may_be_cancelled(now),
            "rules": self._parts.judge.told(record.rules, language),
            "words": paragraphs(record.words) if standing.stage is Stage.RETURNED else (),
            "days": self._parts.options.status_kept.days,
            "rings": self._parts.options.doorbell and standing.stage is Stage.DELIVERED,
            **await self._reply(record, standing, language),
        }

    async def _reply(self, record: LetterRecord, standing: Standing, language: Language) -> dict[str, object]:
        """What the page says of a reply; that one is held, or was refused, is told to nobody."""
        if not self._parts.options.replies:
            return {"reply": None, "may_be_answered": False}
        reply = await self._parts.stores.replies.of_letter(record.id)
        if reply is None:
            waits = standing.stage in {Stage.WAITING, Stage.DELIVERED, Stage.UNCLEAR}
            return {"reply": None, "may_be_answered": waits}
        return {
            "reply": reply,
            "may_be_answered": False,
            "reply_words": paragraphs(reply.words),
            "helps": self._parts.judge.wording(language).helps if reply.step is Step.CARE else (),
        }

    async def _standing(self, record: LetterRecord) -> Standing:
        teller = Teller(self._parts.clock.now(), self._parts.withholding.told_after(record.id))
        return teller.before_departure(record) or await self._departed(record, teller)

    async def _departed(self, record: LetterRecord, teller: Teller) -> Standing:
        """What the relay says of a letter, or of another for one that only looks as if it had left."""
        try:
            async with asyncio.timeout(_STATE_TIMEOUT):
                state = await self._parts.relay.state(record.message_id or record.beside or _NOBODYS)
                if record.message_id is None:
                    if record.is_withheld and (ended := await self._parts.withholding.ended(record.id)):
                        record = replace(record, refused=True, ended=ended)
                    return teller.beside(record, state)
                if state is not None and state.state in WITHDRAWN:
                    ended = await self._parts.withholding.withdrawn(record.id, state.changed_at)
                    return Standing(Stage.WAITING) if ended is None else teller.failed(ended)
        except (TimeoutError, SpoolUnavailableError) as error:
            _log.warning("state-not-known", why=str(error) or "timed out")
            return Standing(Stage.UNCLEAR)
        return teller.at_relay(state)


def _told_departure(words: Words, place: Place | None, when: datetime) -> str:
    if place is not None and place.is_rough:
        return words("status.departs_day", day=words.day_here(when))
    return words("status.departs", moment=words.around(when))


def _language(request: web.Request, written_in: str) -> Language:
    has_prefix = request.path.split("/", 2)[1] != "s"
    return language_of(request) if has_prefix else Language(written_in)
