"""The moderators' desk as an aiohttp application of its own: another port, on loopback, never beside the public pages.

Whoever serves it lets in this machine alone; here a token is asked for besides, and every entry and decision is
logged. It needs no script, and it cannot write a letter: there is no route for it, and it holds nothing to send with.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from relay.pages.errors import Tell, pages_for_errors
from relay.pages.keeper import DoorKeeper, Refusal
from relay.pages.token_door import TokenDoor
from web.deciding import Deciding
from web.desk.danger import DangerDesk
from web.desk.frame import DeskParts, Frame, read_decision, session_of
from web.desk.letters import LetterDesk
from web.desk.notices import NoticeDesk
from web.desk.replies import ReplyDesk
from web.desk.reports import ReportDesk
from web.desk.today import TodayDesk
from web.desk.wall import WallDesk
from web.render import Renderer
from web.requests import language_of

_REFUSED: Final = {None: "", Refusal.WRONG: "token", Refusal.TOO_OFTEN: "often"}


class DeskFace:
    """The door in a moderator's words: their language stands in the cookie beside the name."""

    def __init__(self, deciding: Deciding, renderer: Renderer) -> None:
        self._deciding = deciding
        self._renderer = renderer

    def form(self, request: web.Request, refusal: Refusal | None, onward: str) -> web.Response:
        """The form that asks for the token."""
        status = HTTPStatus.OK if refusal is None else refusal.value
        values = {"problem": _REFUSED[refusal], "onward": onward}
        return self._renderer.page("desk/enter.html", language_of(request), values, status=status)

    def redirect(self, location: str) -> web.Response:
        """303 to a path of ours."""
        return self._renderer.redirect(location)

    async def welcome(self, request: web.Request, name: str) -> str:
        """Every entry is noted for good. Raises SpoolUnavailableError: then nobody comes in."""
        await self._deciding.note_entry(name)
        return language_of(request).value


def make_desk_app(parts: DeskParts, door: TokenDoor) -> web.Application:
    """The desk below `/desk`, its files, and `/` that leads there; serve it to this machine alone, and without an
    access log. Other pages for this machine's people may be put beside the desk: it asks for its own token only.
    """
    keeper = DoorKeeper(door, DeskFace(parts.deciding, parts.renderer))
    app = web.Application(middlewares=[pages_for_errors(_telling(parts.renderer))])
    app.add_routes([web.get("/static/{digest}/{name}", _asset(parts.renderer)), web.get("/", keeper.lead)])
    app.add_subapp("/desk", _inside(parts, keeper))
    return app


def _inside(parts: DeskParts, keeper: DoorKeeper) -> web.Application:
    app = web.Application(middlewares=[keeper.keep])
    frame = Frame(parts)
    letters, reports = LetterDesk(parts, frame), ReportDesk(parts, frame)
    posts, notices, dangers = WallDesk(parts, frame), NoticeDesk(parts, frame), DangerDesk(parts, frame)
    replies = ReplyDesk(parts, frame)
    app.add_routes(
        [
            *keeper.routes(),
            web.get("/", keeper.lead),
            web.post("/language", _translate(keeper)),
            web.get("", TodayDesk(parts, frame).today),
            web.get("/letters", letters.pile),
            web.get("/appeals", letters.pile),
            web.get("/pile-ons", letters.pile),
            web.get("/letter/{id}", letters.show),
            web.post("/letter/{id}", letters.decide),
            web.get("/reports", reports.reports),
            web.post("/reports", reports.settle),
            web.get("/notices", notices.notices),
            web.post("/notices", notices.answer),
            web.get("/replies", replies.replies),
            web.post("/replies", replies.decide),
            web.get("/wall", posts.queue),
            web.post("/wall", posts.take_down),
            web.get("/post/{id}", posts.show),
            web.post("/post/{id}", posts.decide),
            web.get("/frozen", reports.frozen),
            web.post("/frozen", reports.thaw),
            web.get("/cases", reports.cases),
            web.get("/case/{id}", dangers.show),
            web.post("/case/{id}", dangers.decide),
            web.get("/log", reports.log),
        ]
    )
    return app


def _translate(keeper: DoorKeeper) -> Handler:
    async def translate(request: web.Request) -> web.StreamResponse:
        """POST /desk/language: the same session in the other language."""
        await read_decision(request)
        session = session_of(request)
        return keeper.let_in(request, session.name, session.language.other.value)

    return translate


def _telling(renderer: Renderer) -> Tell:
    return lambda request, trouble, status: renderer.page(
        "desk/error.html", language_of(request), {"kind": trouble.value}, status=status
    )


def _asset(renderer: Renderer) -> Handler:
    async def asset(request: web.Request) -> web.StreamResponse:
        response = renderer.asset(request.path)
        if response is None:
            raise web.HTTPNotFound
        return response

    return asset
