"""`/weekly`: ask for the weekly, confirm it, leave it, and read the weeks that were. GET asks, POST acts.

Whoever types an address is answered the same, whether it is subscribed, refuses our mail or is none: the mail to it
tells its owner alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from relay.client.contract import AddressCheck, LetterRefused
from relay.errors import SpoolUnavailableError
from relay.log import Log
from web.catalogue import Language
from web.draft import Field, Problem, address_problem, clean_address
from web.haste import Haste
from web.mailbox import masked
from web.parts import Parts
from web.plain_text import paragraphs
from web.requests import language_of, read_fields
from web.weekly import WeeklyParts
from web.weekly_links import CONFIRM_LIFE, Wish
from web.weekly_store import KEYED

_WEEK: Final = re.compile(r"[0-9]{4}-W[0-9]{2}")
_PATIENCE: Final = 5.0

_log = Log("weekly")


class WeeklyPages:
    """The handlers."""

    def __init__(self, parts: Parts, weekly: WeeklyParts) -> None:
        self._parts = parts
        self._weekly = weekly
        self._haste = Haste(parts.clock, parts.entropy)

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /weekly: the form, and earlier weeks."""
        values = await self._form_values(request)
        return self._parts.renderer.public_page("weekly.html", request, self._framed(values), indexed=False)

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """POST /weekly to=ADDRESS: a mail that asks its owner."""
        fields = await read_fields(request, self._parts.options.base_url)
        typed = clean_address(fields.get("use") or fields.get("to", ""))
        network = self._parts.client(request).network
        if self._parts.previews is not None and self._parts.previews.take(network) is not None:
            often = Problem(Field.TO, "to-often")
            return await self._form(request, typed, often, HTTPStatus.TOO_MANY_REQUESTS)
        check = await self._check(typed) if typed else None
        wrong = address_problem(typed, check)
        if check is None or wrong is not None:
            return await self._form(request, typed, wrong, HTTPStatus.UNPROCESSABLE_ENTITY)
        language = language_of(request)
        limits = self._parts.limits
        if limits is None or await limits.take_question(network, check.address):
            # Whoever refuses our mail is passed over by the relay, in the same time: an answer's haste tells as well.
            async with self._haste.measured():
                await self._send(Wish(check.address, language))
        else:
            await self._haste.wait()
        return self._page(request, {"kind": "asked", "address": check.address})

    async def confirm(self, request: web.Request) -> web.StreamResponse:
        """GET asks, POST subscribes."""
        wish = self._weekly.links.confirmed(request.match_info["token"])
        if wish is None:
            return self._missing(request, "no_link")
        mailboxes, store = self._weekly.mailboxes.all_of(wish.address), self._weekly.store
        if request.method != "POST":
            if not (await store.is_asked(mailboxes) or await store.is_subscribed(mailboxes)):
                return self._missing(request, "no_link")
            return self._page(request, {"kind": "confirm", "address": masked(wish.address)})
        await read_fields(request, self._parts.options.base_url)
        if not await store.subscribe(mailboxes, wish.language.value, self._weekly.links.seal(wish.address)):
            return self._missing(request, "no_link")
        _log.info("weekly-confirmed")
        return self._page(request, {"kind": "confirmed", "address": masked(wish.address)})

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """GET asks, POST leaves at once: also the one click of a mail program (RFC 8058 §3.2), from anywhere."""
        address = self._weekly.links.opened(request.match_info["token"])
        if address is None:
            return self._missing(request, "no_link")
        if request.method != "POST":
            return self._page(request, {"kind": "leave", "address": masked(address)})
        await self._weekly.store.leave(self._weekly.mailboxes.all_of(address))
        _log.info("weekly-left")
        return self._page(request, {"kind": "left", "address": masked(address)})

    async def week(self, request: web.Request) -> web.StreamResponse:
        """GET /weekly/2026-W47: what that week held and still shows."""
        week, language = request.match_info["week"], language_of(request)
        posts = await self._weekly.store.posts(week, language.value) if _WEEK.fullmatch(week) else []
        if not posts:
            return self._missing(request)
        indexed = self._parts.options.wall_indexed
        values = {"posts": [(post, paragraphs(post.shown)) for post in posts], "week": week, "indexed": indexed}
        return self._parts.renderer.public_page("week.html", request, values, indexed=indexed)

    async def _check(self, typed: str) -> AddressCheck:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._parts.relay.check(typed)
        except TimeoutError:
            raise SpoolUnavailableError("the check of an address timed out") from None

    async def _send(self, wish: Wish) -> None:
        """At most one mail a day to one mailbox: the key at the relay is the same for a day."""
        day = f"{self._parts.clock.now():%Y-%m-%d}"
        mailbox = self._weekly.mailboxes.of(wish.address)
        key = f"{KEYED}{hashlib.sha256(mailbox + day.encode()).hexdigest()[:32]}"
        letter = self._weekly.writer.confirmation(wish, self._parts.renderer.words(wish.language), key)
        await self._weekly.store.note_question(mailbox, key, self._parts.clock.now() + CONFIRM_LIFE)
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._parts.relay.submit(letter)
        except TimeoutError:
            raise SpoolUnavailableError("the relay did not answer") from None
        if isinstance(answer, LetterRefused) and answer.temporary:
            raise SpoolUnavailableError(answer.reason)
        message_id = "" if isinstance(answer, LetterRefused) else answer.id
        await self._weekly.store.name_question(mailbox, key, message_id)

    async def _form(self, request: web.Request, typed: str, problem: Problem | None, status: int) -> web.Response:
        return self._page(request, await self._form_values(request, typed, problem), status)

    async def _form_values(
        self, request: web.Request, typed: str = "", problem: Problem | None = None
    ) -> dict[str, Any]:
        weeks = await self._weekly.store.weeks(language_of(request).value)
        return {"kind": "form", "address": typed, "problem": problem, "weeks": weeks}

    def _page(self, request: web.Request, values: dict[str, Any], status: int = HTTPStatus.OK) -> web.Response:
        return self._parts.renderer.page("weekly.html", language_of(request), self._framed(values), status=status)

    def _framed(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"problem": None, "weeks": (), "day": self._parts.options.weekly, **values}

    def _missing(self, request: web.Request, kind: str = "not_found") -> web.Response:
        return self._parts.renderer.notice(kind, language_of(request), HTTPStatus.NOT_FOUND)


def weekly_routes(pages: WeeklyPages) -> list[web.RouteDef]:
    """The weekly, with and without a language before it."""
    routes: list[web.RouteDef] = []
    for prefix in ("", *(f"/{language.value}" for language in Language)):
        base = f"{prefix}/weekly"
        routes += [web.get(base, pages.show), web.post(base, pages.ask), web.get(f"{base}/{{week}}", pages.week)]
        for path, handler in (("confirm", pages.confirm), ("leave", pages.leave)):
            routes += [web.get(f"{base}/{path}/{{token}}", handler), web.post(f"{base}/{path}/{{token}}", handler)]
    return routes
