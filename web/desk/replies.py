"""Held replies on the desk: what a letter's recipient answered and a rule stopped, and whether its writer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from relay.log import Log
from web.deciding import UndecidedError
from web.desk.frame import DeskParts, Frame, Place, read_decision, session_of
from web.judgement import marked_paragraphs

_SHOWN = 50

_log = Log("desk")


class ReplyDesk:
    """The handlers of the list of held replies."""

    def __init__(self, parts: DeskParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def replies(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/replies: what waits, the one whose time ends first on top."""
        return await self._page(request, {})

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """POST letter=ID action=show or refuse."""
        fields, voice = await read_decision(request)
        letter_id, deciding = fields.get("letter", ""), self._parts.deciding
        if not letter_id.isalnum():  # no NUL for PostgreSQL
            return self._parts.renderer.redirect("/desk/replies?done=gone")
        try:
            match fields.get("action"):
                case "show":
                    done = "reply-shown" if await deciding.show_reply(letter_id, voice) else "gone"
                case "refuse":
                    done = "reply-refused" if await deciding.refuse_reply(letter_id, voice) else "gone"
                case _:
                    return await self._page(request, fields)
        except UndecidedError:
            return await self._page(request, fields, letter_id)
        _log.info("reply-decided", letter=letter_id, decision=done, by=voice.actor)
        return self._parts.renderer.redirect(f"/desk/replies?done={done}")

    async def _page(self, request: web.Request, typed: Mapping[str, str], problem: str = "") -> web.Response:
        held = await self._parts.deciding.replies.held()
        language, judge = session_of(request).language, self._parts.judge
        rows = [
            (one, marked_paragraphs(one.words, judge.rule_on_words(one.words)), judge.told(one.rules, language))
            for one in held[:_SHOWN]
        ]
        values = {
            "rows": rows,
            "more": len(held) - len(rows),
            "problem": problem,
            "typed": {name: typed.get(name, "") for name in ("letter", "reason")},
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
        return await self._frame.page(request, "replies.html", Place.REPLIES, values, status)
