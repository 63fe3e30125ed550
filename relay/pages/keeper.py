"""The keeper of a door: lets in who brings a token or the door's cookie, and sends all others to the form for tokens.

The operator's pages and the moderators' desk have one each. The cookie is HttpOnly, SameSite=Strict, and sent to the
door's own pages alone. Whoever serves the pages lets in this machine alone.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import quote

from aiohttp import web
from aiohttp.typedefs import Handler

from relay.log import Log
from relay.pages.form import ForeignFormError, read_fields
from relay.pages.token_door import LIFETIME, Entered, TokenDoor, cookie_name

ENTERED: Final = web.RequestKey("entered", Entered)
"""Who asks, in every request that the keeper let through with a cookie."""

_OWN: Final = "http://localhost"
"""Forms come from the host they are posted to, which the listener has found to be this machine's."""

_LONGEST_WAY: Final = 2000
_LEGIBLE: Final = re.compile(r"[!-\[\]-~]+")
"""What an encoded path and its query are made of (RFC 3986): no space, no control character, no backslash, which
browsers take for a slash."""

_log = Log("door")


class Refusal(Enum):
    """Why the token that was shown opened nothing, with the status of the form that says so."""

    WRONG = HTTPStatus.FORBIDDEN
    TOO_OFTEN = HTTPStatus.TOO_MANY_REQUESTS
    """So many wrong ones were shown that none is looked at for a while."""


class Face(Protocol):
    """What a door looks like."""

    def form(self, request: web.Request, refusal: Refusal | None, onward: str) -> web.Response:
        """The form that asks for the token, and says why the last one was refused.

        It has the field `to` with `onward`, the page that was asked for; "" for the first one.
        """
        ...

    def redirect(self, location: str) -> web.Response:
        """303 to a path of ours."""
        ...

    async def welcome(self, request: web.Request, name: str) -> str:
        """What is to be done when somebody comes in; the word that their cookie keeps beside their name."""
        ...


class DoorKeeper:
    """Keeps the pages below `/<purpose>` of a door, but for the paths that begin with one of `outside`."""

    def __init__(self, door: TokenDoor, face: Face, outside: tuple[str, ...] = ()) -> None:
        self._door = door
        self._face = face
        self._root = f"/{door.purpose}"
        self._form = f"{self._root}/enter"
        self._outside = outside

    def routes(self) -> list[web.RouteDef]:
        """Coming and going; for an application that stands at the door's path."""
        return [
            web.get("/enter", self._ask),
            web.post("/enter", self._enter),
            web.post("/leave", self._leave),
        ]

    @web.middleware
    async def keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The middleware of that application."""
        if request.path == self._form or request.path.startswith(self._outside):
            return await handler(request)
        entered = self._door.open(request.cookies.get(self._cookie(request), ""))
        if entered is None:
            return self._face.redirect(self._form_for(request))
        request[ENTERED] = entered
        return await handler(request)

    async def lead(self, _request: web.Request) -> web.StreamResponse:
        """A handler that leads to the first page behind the door."""
        return self._face.redirect(self._root)

    def let_in(self, request: web.Request, name: str, note: str, onward: str = "") -> web.Response:
        """To the page `onward`, or the first one, with a cookie that says `name` and `note`."""
        response = self._face.redirect(onward or self._root)
        response.set_cookie(
            self._cookie(request),
            self._door.cookie(name, note),
            max_age=int(LIFETIME.total_seconds()),
            path=self._root,
            httponly=True,
            samesite="Strict",
        )
        return response

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        """GET …/enter: the token, please."""
        return self._face.form(request, None, self._onward(request.query.get("to", "")))

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        """POST token=…: a session, and a line in the log."""
        fields = await read_fields(request, _OWN)
        onward = self._onward(fields.get("to", ""))
        if self._door.is_tired:
            return self._face.form(request, Refusal.TOO_OFTEN, onward)
        name = self._door.name_of(fields.get("token", ""))
        if name is None:
            _log.warning("door-refused", door=self._door.purpose)
            return self._face.form(request, Refusal.WRONG, onward)
        note = await self._face.welcome(request, name)
        _log.info("door-entered", door=self._door.purpose, by=name)
        return self.let_in(request, name, note, onward)

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        """POST …/leave."""
        await read_proven(request)
        response = self._face.redirect(self._form)
        response.del_cookie(self._cookie(request), path=self._root)
        return response

    def _form_for(self, request: web.Request) -> str:
        """The form's path, with the page that was asked for: what was posted is not asked for again."""
        onward = self._onward(request.path_qs) if request.method == "GET" else ""
        return f"{self._form}?to={quote(onward)}" if onward else self._form

    def _onward(self, path: str) -> str:
        """`path` with its query if it leads to a page behind this door, or else "": never to another site."""
        if len(path) > _LONGEST_WAY or not _LEGIBLE.fullmatch(path):
            return ""
        page = path.partition("?")[0]
        is_behind = page.startswith(f"{self._root}/") and page not in (f"{self._root}/", self._form)
        return path if is_behind else ""

    def _cookie(self, request: web.Request) -> str:
        return cookie_name(f"leak-{self._door.purpose}", request.host)


async def read_proven(request: web.Request) -> Mapping[str, str]:
    """The fields of a form of this session. Raises ForeignFormError for any other, UnreadableFormError."""
    fields = await read_fields(request, _OWN)
    proof = fields.get("proof", "").encode("utf-8", "replace")
    if not hmac.compare_digest(proof, request[ENTERED].proof.encode()):
        raise ForeignFormError
    return fields
