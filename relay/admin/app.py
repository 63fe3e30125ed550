"""The operator's pages as an aiohttp application, to be put below `/admin` of a listener for this machine alone.

Whoever serves it lets in this machine alone; here a token is asked for besides, and every entry is logged, as is what
is done. No page needs a script, and nothing is done without a preview, a reason and a form of this session.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relay.admin.acting import ActPages
from relay.admin.frame import OWN, SESSION, read_proven
from relay.admin.messages import MessagePages
from relay.admin.parts import AdminParts, Records
from relay.admin.paths import PathsPage
from relay.admin.queue import QueuePages
from relay.admin.remembered import Remembered
from relay.admin.render import Renderer
from relay.admin.reports import ReportsPage
from relay.admin.today import TodayPage
from relay.admin.warming import WarmUpPage
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.posted_form import ForeignFormError, UnreadableFormError, read_fields
from relay.spool.lately import lately
from relay.spool.shape import queue_shape
from relay.token_door import LIFETIME, TokenDoor, cookie_name

COOKIE: Final = "leak-admin"
PATIENCE_SECONDS: Final = 20.0
"""How long a page waits for the database."""

_OPEN: Final = ("/admin/enter", "/admin/style/")
_SAID: Final = {
    "foreign": "This form came from another page. Go back to the operator's pages and do it there.",
    "unreadable": "This form could not be read.",
    "unavailable": "The database does not answer just now. Mail that was accepted is safe in it; try again soon. "
    "If you asked for something to be done, look first whether it was.",
    "missing": "There is no such page.",
    "broken": "Something is broken here; it was logged.",
}

_log = Log("admin")


class Entry:
    """Coming and going."""

    def __init__(self, door: TokenDoor, renderer: Renderer) -> None:
        self._door = door
        self._renderer = renderer

    async def ask(self, _request: web.Request) -> web.StreamResponse:
        """GET /admin/enter: the token, please."""
        return self._form()

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """POST token=…: a session, and a line in the log."""
        fields = await read_fields(request, OWN)
        if self._door.is_tired:
            return self._form("Too many wrong tokens were shown. Wait a minute.", HTTPStatus.TOO_MANY_REQUESTS)
        name = self._door.name_of(fields.get("token", ""))
        if name is None:
            _log.warning("admin-refused")
            return self._form("This token opens nothing here.", HTTPStatus.FORBIDDEN)
        _log.info("admin-entered", by=name)
        response = self._renderer.redirect("/admin")
        seconds = int(LIFETIME.total_seconds())
        value = self._door.cookie(name, "")
        cookie = cookie_name(COOKIE, request.host)
        response.set_cookie(cookie, value, max_age=seconds, path="/admin", httponly=True, samesite="Strict")
        return response

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """POST /admin/leave."""
        await read_proven(request)
        response = self._renderer.redirect("/admin/enter")
        response.del_cookie(cookie_name(COOKIE, request.host), path="/admin")
        return response

    def _form(self, problem: str = "", status: int = HTTPStatus.OK) -> web.Response:
        return self._renderer.page("enter.html", {"problem": problem}, status=status)


def make_admin_app(parts: AdminParts) -> web.Application:
    """The pages; to be mounted at `/admin`, served to this machine alone, and without an access log."""
    renderer = Renderer({"node": parts.node, "desk": parts.desk, "relay": parts.relay})
    door = TokenDoor("admin", parts.operators, parts.clock)
    app = web.Application(middlewares=[_pages_for_errors(renderer), _door_keeper(door, renderer)])
    records = Records(parts.database, parts.clock)
    shape = Remembered(lambda: queue_shape(parts.database, parts.clock.now()), parts.clock)
    entry = Entry(door, renderer)
    recent = Remembered(lambda: lately(parts.database), parts.clock)
    today = TodayPage(parts, records, shape, recent, renderer)
    paths = PathsPage(parts, records, shape, recent, renderer)
    queue = QueuePages(parts, records, shape, renderer)
    acting = ActPages(parts, records, renderer)
    messages = MessagePages(parts, records, renderer)
    app.add_routes(
        [
            web.get("/", _to_pages(renderer)),
            web.get("", today.show),
            web.get("/enter", entry.ask),
            web.post("/enter", entry.enter),
            web.post("/leave", entry.leave),
            web.get("/style/{name}", _style(renderer)),
            web.get("/queue", queue.show),
            web.get("/queue/domain", queue.domain),
            web.get("/paths", paths.show),
            web.get("/warm-up", WarmUpPage(parts, records, renderer).show),
            web.get("/reports", ReportsPage(parts, renderer).show),
            web.get("/act", acting.preview),
            web.post("/act", acting.act),
            web.get("/messages", messages.search),
            web.get("/message/{id}", messages.show),
        ]
    )
    return app


def _to_pages(renderer: Renderer) -> Handler:
    async def go(_: web.Request) -> web.StreamResponse:
        return renderer.redirect("/admin")

    return go


def _style(renderer: Renderer) -> Handler:
    async def style(request: web.Request) -> web.StreamResponse:
        response = renderer.style(request.match_info["name"])
        if response is None:
            raise web.HTTPNotFound
        return response

    return style


def _door_keeper(door: TokenDoor, renderer: Renderer) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_OPEN):
            return await handler(request)
        session = door.open(request.cookies.get(cookie_name(COOKIE, request.host), ""))
        if session is None:
            return renderer.redirect("/admin/enter")
        request[SESSION] = session
        return await handler(request)

    return middleware


def _pages_for_errors(renderer: Renderer) -> Middleware:
    def tell(kind: str, status: int) -> web.StreamResponse:
        return renderer.page("error.html", {"said": _SAID[kind]}, status=status)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await handler(request)
        except ForeignFormError:
            return tell("foreign", HTTPStatus.FORBIDDEN)
        except UnreadableFormError:
            return tell("unreadable", HTTPStatus.BAD_REQUEST)
        except (SpoolUnavailableError, TimeoutError) as error:
            _log.warning("store-unavailable", why=str(error) or "no answer in time")
            return tell("unavailable", HTTPStatus.SERVICE_UNAVAILABLE)
        except web.HTTPException as error:
            response = tell("missing", error.status)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - an operator gets a page, the log gets the rest
            _log.exception("page-broke", path=request.path)
            return tell("broken", HTTPStatus.INTERNAL_SERVER_ERROR)

    return middleware
