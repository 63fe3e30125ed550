"""Threats to life on the desk: whom to call, the notification ready to print, and the end of the case.

The page holds what is known of the letter, and nothing of its writer but the words: the sealed record is opened by
command alone, with the offline key.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from relay.log import Log
from web.danger import Danger
from web.deciding import UndecidedError
from web.desk.frame import DeskParts, Frame, Place, read_decision
from web.disclosure import OWN_BASIS
from web.plain_text import paragraphs
from web.sealing import CASE_PREFIX

_log = Log("desk")


class DangerDesk:
    """The handlers of one case."""

    def __init__(self, parts: DeskParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def show(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/case/LETTER: whom to call, and the notification (Digital Services Act, article 18)."""
        case = await self._find(request)
        return self._gone() if case is None else await self._page(request, case, {})

    async def decide(self, request: web.Request) -> web.StreamResponse:
        """POST action=told or close."""
        fields, voice = await read_decision(request)
        case = await self._find(request)
        if case is None:
            return self._gone()
        deciding, action = self._parts.deciding, fields.get("action", "")
        try:
            match action:
                case "told":
                    done = "danger-told" if await deciding.note_told(case.letter_id, voice) else "gone"
                    onward = f"case/{case.letter_id}"
                case "close":
                    done = "danger-closed" if await deciding.close_case(case.letter_id, voice) else "gone"
                    onward = "cases"
                case _:
                    return await self._page(request, case, {})
        except UndecidedError:
            return await self._page(request, case, fields, action)
        _log.info("case-decided", letter=case.letter_id, case=case.case, decision=done, by=voice.actor)
        return self._parts.renderer.redirect(f"/desk/{onward}?done={done}")

    async def _find(self, request: web.Request) -> Danger | None:
        letter_id = request.match_info["id"]
        return await self._parts.deciding.dangers.find(letter_id) if letter_id.isalnum() else None

    async def _page(
        self, request: web.Request, case: Danger, typed: Mapping[str, str], problem: str = ""
    ) -> web.Response:
        sealed = await self._parts.sealed.find(case.letter_id)
        values = {
            "case": case,
            "authorities": self._parts.authorities,
            "operator": self._parts.operator,
            "rules": case.rules,
            "message": paragraphs(case.message),
            "words": paragraphs(case.words),
            "sealed": sealed,
            "resealed": sealed is not None and sealed.key.startswith(CASE_PREFIX),
            "basis": OWN_BASIS,
            "keeps_away": await self._parts.deciding.freezes.is_frozen(case.letter_id),
            "problem": problem,
        }
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem else HTTPStatus.OK
        return await self._frame.page(request, "case.html", Place.CASES, values, status)

    def _gone(self) -> web.Response:
        return self._parts.renderer.redirect("/desk/cases?done=gone")
