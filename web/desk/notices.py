"""Notices of unlawful content on the desk: what was notified, the decision, and a post of the wall that goes with it.

A moderator sees what the notice's author wrote; its author reads outcome and reason on the page of their secret link,
and never who decided. Nothing of either reaches whoever wrote the letter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay.log import Log
from web.catalogue import Language
from web.deciding import UndecidedError, Voice
from web.desk.frame import DeskParts, Frame, Place, read_decision
from web.notices import Case
from web.plain_text import paragraphs
from web.reports import Outcome
from web.wall import Post

_SHOWN: Final = 50
_POST: Final = re.compile(r"/wall/([0-9a-z]{8,40})\b")
_MOST_POSTS: Final = 5
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome}

_log = Log("desk")


@dataclass(frozen=True, slots=True)
class Notified:
    """A case as the page shows it: its paragraphs, its author's language, and the posts of the wall that it names."""

    case: Case
    item: tuple[tuple[str, ...], ...]
    grounds: tuple[tuple[str, ...], ...]
    tongue: str
    posts: tuple[Post, ...]


class NoticeDesk:
    """The handlers of the list of notices."""

    def __init__(self, parts: DeskParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def notices(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/notices: what waits; what is said to be about abused children stands on top."""
        return await self._page(request, {})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """POST case=ID action=upheld or dismissed, and take-down=on to take the named posts off the wall with it."""
        fields, voice = await read_decision(request)
        case_id, outcome = fields.get("case", ""), _OUTCOMES.get(fields.get("action", ""))
        deciding = self._parts.deciding
        case = await deciding.notices.one_waiting(case_id) if case_id.isalnum() else None  # no NUL for PostgreSQL
        if case is None:
            return self._parts.renderer.redirect("/desk/notices?done=gone")
        if outcome is None:
            return await self._page(request, fields)
        try:
            if outcome is Outcome.UPHELD and fields.get("take-down") == "on":
                await self._take_down(case, voice)
            answered = await deciding.answer(case.id, outcome, voice)
        except UndecidedError:
            return await self._page(request, fields, case.id)
        if answered:
            _log.info("notice-decided", case=case.id, decision=outcome.value, by=voice.actor)
        return self._parts.renderer.redirect(f"/desk/notices?done={f'notice-{outcome}' if answered else 'gone'}")

    async def _take_down(self, case: Case, voice: Voice) -> None:
        """Before the answer: if it breaks in between, the notice still waits, and who decides presses again."""
        for post in await self._posts(case):
            if await self._parts.deciding.take_down(post.letter_id, voice):
                _log.info("post-taken-down", letter=post.letter_id, by=voice.actor)

    async def _page(self, request: web.Request, typed: Mapping[str, str], problem: str = "") -> web.Response:
        notices = self._parts.deciding.notices
        shown = await notices.waiting(_SHOWN)
        words = self._frame.words(request)
        rows = [
            Notified(
                case,
                paragraphs(case.notice.item),
                paragraphs(case.notice.grounds),
                words(f"desk.tongue_{Language(case.language).value}"),
                tuple(await self._posts(case)),
            )
            for case in shown
        ]
        values = {
            "rows": rows,
            "more": max(0, await notices.how_many() - len(rows)),
            "problem": problem,
            "typed": {name: typed.get(name, "") for name in ("case", "reason", "take-down")},
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
        return await self._frame.page(request, "notices.html", Place.NOTICES, values, status)

    async def _posts(self, case: Case) -> list[Post]:
        """What stands on the wall under the addresses that a notice names."""
        named = dict.fromkeys(_POST.findall(case.notice.item))
        found = [await self._parts.deciding.wall.find(one) for one in list(named)[:_MOST_POSTS]]
        return [post for post in found if post is not None]
