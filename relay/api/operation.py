"""One operation of the API: where it answers, what it takes and gives; routes and /openapi.json are made of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web
from pydantic import BaseModel

from relay.account.identity import Access, Identity
from relay.api.problem import HEADERS, Problem

Handler = Callable[[web.Request], Awaitable[web.Response | Problem]]
KeyedHandler = Callable[[web.Request, Identity], Awaitable[web.Response | Problem]]


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` as aiohttp and OpenAPI both write it; exactly one of `open` and `keyed` handles it."""

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    answer: type[BaseModel] | str
    """The model of a success, or the media type of an answer that is no JSON; "" for an answer without a body."""
    problems: tuple[int, ...]
    keyed: KeyedHandler | None = None
    open: Handler | None = None
    success: int = 200
    request: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    """The model of the query string."""
    idempotent: bool = False
    """Whether it takes an Idempotency-Key."""
    access: Access = Access.TENANT
    """What a key must be for, if one is asked for."""
    raw: bool = False
    """Whether it also takes a message as it is, with its envelope in a header."""


def json_answer(document: BaseModel, status: int = 200) -> web.Response:
    """A model as an answer."""
    body = document.model_dump_json().encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=dict(HEADERS))
