"""The moderators' desk as an aiohttp application of its own: another port, on loopback, never beside the public pages.

Whoever serves it lets in this machine alone; here a token is asked for besides, and every entry and decision is
logged. It needs no script, and it cannot write a letter: there is no route for it, and it holds nothing to send with.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.token_door import LIFETIME, TokenDoor, cookie_name
from web.catalogue import Language
from web.deciding import Deciding
from web.desk.danger import DangerDesk
from web.desk.door import COOKIE, session_by
from web.desk.frame import SESSION, DeskParts, Frame, read_decision, session_of
from web.desk.letters import LetterDesk
from web.desk.notices import NoticeDesk
from web.desk.replies import ReplyDesk
from web.desk.reports import ReportDesk
from web.desk.today import TodayDesk
from web.desk.wall import WallDesk
from web.render import Renderer
from web.requests import ForeignFormError, UnreadableFormError, language_of, read_fields

_OPEN: Final = "/desk/enter"
_OWN: Final = "http://localhost"

_log = Log("desk")


class Entry:
    """Coming and going."""

    def __init__(self, door: TokenDoor, deciding: Deciding, renderer: Renderer) -> None:
        self._door = door
        self._deciding = deciding
        self._renderer = renderer

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """GET /desk/enter: the token, please."""
        return self._form(request)

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """POST token=…: a session, and a line in the log."""
        fields = await read_fields(request, _OWN)
        if self._door.is_tired:
            return self._form(request, "often", HTTPStatus.TOO_MANY_REQUESTS)
        name = self._door.name_of(fields.get("token", ""))
        if name is None:
            _log.warning("desk-refused")
            return self._form(request, "token", HTTPStatus.FORBIDDEN)
        await self._deciding.note_entry(name)
        _log.info("desk-entered", by=name)
        return self._kept(request, name, language_of(request))

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """POST /desk/leave."""
        await read_decision(request)
        response = self._renderer.redirect("/desk/enter")
        response.del_cookie(cookie_name(COOKIE, request.host), path="/desk")
        return response

    async def translate(self, request: web.Request) -> web.StreamResponse:
        """POST /desk/language: the same session in the other language."""
        await read_decision(request)
        session = session_of(request)
        return self._kept(request, session.name, session.language.other)

    def _kept(self, request: web.Request, name: str, language: Language) -> web.Response:
        response = self._renderer.redirect("/desk")
        value = self._door.cookie(name, language.value)
        seconds = int(LIFETIME.total_seconds())
        cookie = cookie_name(COOKIE, request.host)
        response.set_cookie(cookie, value, max_age=seconds, path="/desk", httponly=True, samesite="Strict")
        return response

    def _form(self, request: web.Request, problem: str = "", status: int = HTTPStatus.OK) -> web.Response:
        return self._renderer.page("desk/enter.html", language_of(request), {"problem": problem}, status=status)


def make_desk_app(parts: DeskParts, door: TokenDoor) -> web.Application:
    """The desk below `/desk`, its files, and `/` that leads there; serve it to this machine alone, and without an
    access log. Other pages for this machine's people may be put beside the desk: it asks for its own token only.
    """
    app = web.Application(middlewares=[_pages_for_errors(parts.renderer)])
    app.add_routes(
        [
            web.get("/static/{digest}/{name}", _asset(parts.renderer)),
            web.get("/", _to_desk(parts.renderer)),
        ]
    )
    app.add_subapp("/desk", _inside(parts, door))
    return app


def _inside(parts: DeskParts, door: TokenDoor) -> web.Application:
    app = web.Application(middlewares=[_door_keeper(door, parts.renderer)])
    frame = Frame(parts)
    letters, reports = LetterDesk(parts, frame), ReportDesk(parts, frame)
    posts, notices, dangers = WallDesk(parts, frame), NoticeDesk(parts, frame), DangerDesk(parts, frame)
    replies = ReplyDesk(parts, frame)
    entry = Entry(door, parts.deciding, parts.renderer)
    app.add_routes(
        [
            web.get("/", _to_desk(parts.renderer)),
            web.get("", TodayDesk(parts, frame).today),
            web.get("/enter", entry.ask),
            web.post("/enter", entry.enter),
            web.post("/leave", entry.leave),
            web.post("/language", entry.translate),
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


def _to_desk(renderer: Renderer) -> Handler:
    async def go(_: web.Request) -> web.StreamResponse:
        return renderer.redirect("/desk")

    return go


def _asset(renderer: Renderer) -> Handler:
    async def asset(request: web.Request) -> web.StreamResponse:
        response = renderer.asset(request.path)
        if response is None:
            raise web.HTTPNotFound
        return response

    return asset


def _door_keeper(door: TokenDoor, renderer: Renderer) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == _OPEN:
            return await handler(request)
        session = session_by(door, request.cookies.get(cookie_name(COOKIE, request.host), ""))
        if session is None:
            return renderer.redirect("/desk/enter")
        request[SESSION] = session
        return await handler(request)

    return middleware


def _pages_for_errors(renderer: Renderer) -> Middleware:
    def tell(request: web.Request, kind: str, status: int) -> web.StreamResponse:
        return renderer.page("desk/error.html", language_of(request), {"kind": kind}, status=status)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ForeignFormError:
            return tell(request, "foreign", HTTPStatus.FORBIDDEN)
        except UnreadableFormError:
            return tell(request, "unreadable", HTTPStatus.BAD_REQUEST)
        except SpoolUnavailableError as error:
            _log.warning("store-unavailable", why=str(error))
            return tell(request, "unavailable", HTTPStatus.SERVICE_UNAVAILABLE)
        except web.HTTPException as error:
            response = tell(request, "missing", error.status)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - a moderator gets a page, the log gets the rest
            _log.exception("page-broke", path=request.path.rpartition("/")[0])
            return tell(request, "broken", HTTPStatus.INTERNAL_SERVER_ERROR)

    return middleware
