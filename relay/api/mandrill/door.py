"""Mandrill's API: `POST /api/1.x/NAMESPACE/CALL[.json]` with the key in the body, answered as Mandrill answers.

The key is proven by the one guard of the HTTP door, mail goes through the one intake. API 1.0 answered every fault
with status 500 and its clients know no other; later versions have a status for each. No exception reaches the wire.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.guard import Guard, peer_of
from relay.api.mandrill.call import Call, Document, Handlers
from relay.api.mandrill.fault import Fault, of_problem
from relay.api.mandrill.hooks import Hooks
from relay.api.mandrill.looking import Looking
from relay.api.mandrill.refusals import Refusals
from relay.api.mandrill.sending import Sending
from relay.api.mandrill.tags import Tags
from relay.api.mandrill.users import Users
from relay.api.messages import Messages
from relay.api.problem import HEADERS, RETRY_SECONDS, Problem, from_unavailable
from relay.api.request_body import BodyReader
from relay.engine.submission import Origin
from relay.errors import SpoolUnavailableError
from relay.log import Log

_log = Log("api")

PATH: Final = r"/api/{version:1\.[0-9]{1,2}}/{group:[a-z-]{1,40}}/{call:[a-z0-9-]{1,40}}{suffix:(?:\.[a-z]{1,10})?}"
_TYPES: Final = frozenset(
    {"application/json", "application/octet-stream", "text/plain", "application/x-www-form-urlencoded"}
)
"""A body without a type is one of octets, and curl calls whatever it posts a form; what is no JSON is told so."""


class _Keyed(BaseModel):
    """What every call has in its body."""

    model_config = ConfigDict(extra="ignore")
    key: str = ""


class MandrillDoor:
    """All calls behind one route."""

    def __init__(self, dependencies: ApiDependencies, messages: Messages, guard: Guard) -> None:
        self._guard = guard
        self._bodies = BodyReader(dependencies.options, _TYPES)
        self._handlers: Handlers = {
            **Users(dependencies).calls(),
            **Sending(dependencies, messages).calls(),
            **Looking(dependencies).calls(),
            **Tags(dependencies).calls(),
            **(Refusals(dependencies.suppressions, dependencies.clock).calls() if dependencies.suppressions else {}),
            **(Hooks(dependencies, dependencies.webhooks).calls() if dependencies.webhooks else {}),
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The calls there are."""
        return tuple(sorted(self._handlers))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any call."""
        try:
            answer = await self._answer(request)
        except SpoolUnavailableError as error:
            _log.warning("spool-unavailable", operation="mandrill", error=error)
            answer = of_problem(from_unavailable(error))
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # noqa: BLE001 - the one place where they end
            _log.exception("request-failed", operation="mandrill")
            answer = Fault("GeneralError", "Something is broken here; it was logged.")
        return _response(answer, old=request.match_info["version"] == "1.0")

    async def _answer(self, request: web.Request) -> Document | Fault:
        name = f"{request.match_info['group']}/{request.match_info['call']}"
        if request.match_info["suffix"] not in ("", ".json"):
            return Fault("Unknown_Format", "Only JSON is spoken here.")
        if request.method != "POST":
            return Fault("Unknown_Method", "Every call is a POST.")
        handler = self._handlers.get(name)
        if handler is None:
            return Fault("Unknown_Method", f"There is no call {name!r} here.")
        async with self._bodies.reading(request) as body:
            if isinstance(body, Problem):
                return of_problem(body)
            given = bytes(body) or b"{}"
        identity = await self._identify(request, given)
        if isinstance(identity, Fault):
            return identity
        origin = Origin(peer_of(request), "", "HTTPS" if request.secure else "HTTP")
        return await handler(Call(identity, given, origin))

    async def _identify(self, request: web.Request, body: bytes) -> Identity | Fault:
        try:
            key = _Keyed.model_validate_json(body).key
        except ValidationError:
            return Fault("ValidationError", "You must specify a key value")
        if not key:
            return Fault("ValidationError", "You must specify a key value")
        identity = await self._guard.prove(request, key)
        return of_problem(identity) if isinstance(identity, Problem) else identity


def _response(answer: Document | Fault, *, old: bool) -> web.Response:
    status = HTTPStatus.OK
    document: Mapping[str, Any] | list[dict[str, Any]] | str
    headers = dict(HEADERS)
    if isinstance(answer, Fault):
        status = HTTPStatus.INTERNAL_SERVER_ERROR if old else answer.status
        document = answer.document()
        if answer.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            headers["Retry-After"] = str(RETRY_SECONDS)
    else:
        document = answer
    body = json.dumps(document, ensure_ascii=True).encode()
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8", headers=headers)
