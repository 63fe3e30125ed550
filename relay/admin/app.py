"""The operator's pages as an aiohttp application, to be put below `/admin` of a listener for this machine alone.

Whoever serves it lets in this machine alone; here a token is asked for besides, and every entry is logged, as is what
is done. No page needs a script, and nothing is done without a preview, a reason and a form of this session.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from relay.admin.acting import ActPages
from relay.admin.frame import Frame
from relay.admin.messages import MessagePages
from relay.admin.parts import AdminParts, Records
from relay.admin.paths import PathsPage
from relay.admin.queue import QueuePages
from relay.admin.render import Renderer
from relay.admin.reports import ReportsPage
from relay.admin.today import TodayPage
from relay.admin.warming import WarmUpPage
from relay.errors import SpoolUnavailableError
from relay.pages.errors import Tell, Trouble, pages_for_errors
from relay.pages.keeper import DoorKeeper, Refusal
from relay.pages.token_door import TokenDoor

PATIENCE_SECONDS: Final = 20.0
"""How long a page waits for the database."""

_SAID: Final = {
    Trouble.FOREIGN: "This form came from another page. Go back to the operator's pages and do it there.",
    Trouble.UNREADABLE: "This form could not be read.",
    Trouble.UNAVAILABLE: "The database does not answer just now. Mail that was accepted is safe in it; try again soon. "
    "If you asked for something to be done, look first whether it was.",
    Trouble.MISSING: "There is no such page.",
    Trouble.BROKEN: "Something is broken here; it was logged.",
}
_REFUSED: Final = {
    None: "",
    Refusal.WRONG: "This token opens nothing here.",
    Refusal.TOO_OFTEN: "Too many wrong tokens were shown. Wait a minute.",
}


class AdminFace:
    """The door in the operator's words."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def form(self, _request: web.Request, refusal: Refusal | None, onward: str) -> web.Response:
        """The form that asks for the token."""
        status = HTTPStatus.OK if refusal is None else refusal.value
        return self._renderer.page("enter.html", {"problem": _REFUSED[refusal], "onward": onward}, status=status)

    def redirect(self, location: str) -> web.Response:
        """303 to a path of ours."""
        return self._renderer.redirect(location)

    async def welcome(self, _request: web.Request, _name: str) -> str:
        """The cookie keeps the name alone."""
        return ""


def make_admin_app(parts: AdminParts) -> web.Application:
    """The pages; to be mounted at `/admin`, served to this machine alone, and without an access log."""
    renderer = Renderer({"node": parts.node, "desk": parts.desk, "relay": parts.relay})
    door = TokenDoor("admin", parts.operators, parts.clock)
    keeper = DoorKeeper(door, AdminFace(renderer), outside=("/admin/style/",))
    app = web.Application(middlewares=[pages_for_errors(_telling(renderer)), _patient, keeper.keep])
    frame = Frame(parts, Records(parts.database, parts.clock), renderer)
    queue, acting, messages = QueuePages(frame), ActPages(frame), MessagePages(frame)
    app.add_routes(
        [
            *keeper.routes(),
            web.get("/", keeper.lead),
            web.get("", TodayPage(frame).show),
            web.get("/style/{name}", _style(renderer)),
            web.get("/queue", queue.show),
            web.get("/queue/domain", queue.domain),
            web.get("/paths", PathsPage(frame).show),
            web.get("/warm-up", WarmUpPage(frame).show),
            web.get("/reports", ReportsPage(frame).show),
            web.get("/act", acting.preview),
            web.post("/act", acting.act),
            web.get("/messages", messages.search),
            web.get("/message/{id}", messages.show),
        ]
    )
    return app


def _telling(renderer: Renderer) -> Tell:
    return lambda _, trouble, status: renderer.page("error.html", {"said": _SAID[trouble]}, status=status)


def _style(renderer: Renderer) -> Handler:
    async def style(request: web.Request) -> web.StreamResponse:
        response = renderer.style(request.match_info["name"])
        if response is None:
            raise web.HTTPNotFound
        return response

    return style


@web.middleware
async def _patient(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Pages ask long questions, and an operator is told when there is no answer."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await handler(request)
    except TimeoutError as error:
        raise SpoolUnavailableError(str(error) or "no answer in time") from error
