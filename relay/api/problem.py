"""Problem documents (RFC 9457): the one form in which the HTTP door says no, and how refusals become one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from relay.engine.submission import Refusal
from relay.errors import SpoolFullError, SpoolUnavailableError

# The wire is told as little about the program as SMTP's banner tells.
HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Server": "leak",
    "X-Content-Type-Options": "nosniff",
}
RETRY_SECONDS: Final = 30
_MOST_ERRORS: Final = 20
_MOST_FOUND: Final = 10_000
"""Complaints past which none is told: a million unknown fields would take seconds to list."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One complaint: `field` as a path in the request ("to[0]"), `detail` for a person."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal over HTTP. `retry_after` is in seconds; `close` ends the connection after the answer."""

    status: HTTPStatus
    detail: str
    errors: tuple[FieldError, ...] = ()
    retry_after: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    enhanced_code: str = ""
    close: bool = False

    def response(self) -> web.Response:
        """The problem as sent."""
        headers = {**HEADERS, **self.headers}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        body = json.dumps(self.document(), ensure_ascii=True).encode()
        response = web.Response(
            status=self.status.value, body=body, content_type="application/problem+json", headers=headers
        )
        if self.close:
            response.force_close()
        return response

    def document(self) -> dict[str, object]:
        """The problem document."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"field": e.field, "detail": e.detail} for e in self.errors]
        if self.enhanced_code:
            document["enhanced_code"] = self.enhanced_code
        return document


def invalid(*errors: FieldError) -> Problem:
    """The request was understood and cannot be taken as it is."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "The message cannot be taken; see errors.", errors)


def not_found() -> Problem:
    """No such resource, or not the caller's (S49: the two look alike)."""
    return Problem(HTTPStatus.NOT_FOUND, "There is nothing here.")


def from_validation(error: ValidationError) -> Problem:
    """What pydantic found wrong; values of the request are never repeated."""
    if error.error_count() > _MOST_FOUND:
        return invalid(FieldError("", "too much of this document is wrong to be listed"))
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return Problem(HTTPStatus.BAD_REQUEST, found[0]["msg"])
    complaints = (FieldError(_path(item["loc"]), _sentence(item["type"], item["msg"])) for item in found[:_MOST_ERRORS])
    return invalid(*complaints)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path[:200]


def _sentence(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such field"
    if kind == "missing":
        return "this field is required"
    return message.removeprefix("Value error, ")


def from_refusal(refusal: Refusal) -> Problem:
    """Intake's refusal: what SMTP would say, in the words of HTTP."""
    reply = refusal.reply
    detail = reply.text
    if refusal.conflict:
        return Problem(HTTPStatus.CONFLICT, detail, (FieldError(refusal.field or "Idempotency-Key", detail),))
    errors = (FieldError(refusal.field, detail),) if refusal.field else ()
    if not reply.permanent:
        full = reply.status == "4.3.1"
        status = HTTPStatus.INSUFFICIENT_STORAGE if full else HTTPStatus.SERVICE_UNAVAILABLE
        return Problem(status, detail, errors, RETRY_SECONDS, enhanced_code=reply.status)
    match reply.status:
        case "5.3.4" | "5.2.3":
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        case "5.7.1":
            status = HTTPStatus.FORBIDDEN
        case _:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
    return Problem(status, detail, errors, enhanced_code=reply.status)


def from_unavailable(error: SpoolUnavailableError) -> Problem:
    """The spool cannot be used just now; nothing was taken that was not answered."""
    if isinstance(error, SpoolFullError):
        return Problem(HTTPStatus.INSUFFICIENT_STORAGE, "No room for mail just now.", (), RETRY_SECONDS)
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "The service is not available just now.", (), RETRY_SECONDS)
