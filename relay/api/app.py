"""The HTTP door as an aiohttp application: routes, proof of keys, and one place where exceptions end.

`add_api` puts the same routes into another application, so that the API and the web front can share an
address. No exception reaches the wire: what is not a known failure is logged and answered as a bare 500.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Any

from aiohttp import web

from relay.account.identity import Accounts
from relay.api.batch import Batch
from relay.api.control import Control
from relay.api.dependencies import ApiDependencies, ApiOptions, Health
from relay.api.events import Events
from relay.api.front import FrontOperations
from relay.api.guard import Guard
from relay.api.mandrill import door as mandrill
from relay.api.messages import Messages
from relay.api.mta_sts import MtaSts
from relay.api.openapi import describe
from relay.api.operation import Operation
from relay.api.probes import Probes, ShownMetrics
from relay.api.problem import HEADERS, Problem, from_unavailable, not_found
from relay.api.queue import Queue
from relay.api.reports import Reports
from relay.api.search import Search
from relay.api.suppressions import Suppressions
from relay.api.unsubscribe import OwnLinks, Unsubscribe
from relay.api.webhooks import Webhooks
from relay.client.contract import Followed
from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.spool.contract import Spool
from relay.tokens import looks_like_token

__all__ = ["Alone", "ApiDependencies", "ApiOptions", "add_api", "add_front_s_own", "make_api"]

_log = Log("api")
_AioHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Alone:
    """What a front has without a relay beside it."""

    spool: Spool
    accounts: Accounts
    clock: Clock
    health: Health
    metrics: ShownMetrics
    opt_out: Callable[[str, web.Request], Awaitable[Followed]]
    """Asks the relay on its other machine."""


class _DistantLinks:
    """Links that another machine wrote: only it can say whether one is good."""

    def __init__(self, opt_out: Callable[[str, web.Request], Awaitable[Followed]]) -> None:
        self._opt_out = opt_out

    def names_somebody(self, text: str) -> bool:
        """See `Links.names_somebody`: what looks like a token may be one."""
        return looks_like_token(text)

    async def follow(self, text: str, request: web.Request) -> Followed:
        """See `Links.follow`."""
        return await self._opt_out(text, request) if looks_like_token(text) else Followed.UNKNOWN


def make_api(dependencies: ApiDependencies) -> web.Application:
    """The API as an application of its own; served by `relay.api.server.HttpServer`."""
    application = web.Application(middlewares=[_problems_for_the_rest])
    add_api(application, dependencies)
    return application


def add_api(application: web.Application, dependencies: ApiDependencies) -> None:
    """Put the API's routes into `application`; below /api/ everything else answers 404."""
    guard = Guard(dependencies.accounts, dependencies.clock)
    messages = Messages(dependencies)
    operations = (
        *messages.operations(),
        *Batch(dependencies, messages).operations(),
        *Search(dependencies).operations(),
        *Events(dependencies).operations(),
        *Queue(dependencies).operations(),
        *Control(dependencies).operations(),
        *(Suppressions(dependencies, dependencies.suppressions).operations() if dependencies.suppressions else ()),
        *(Webhooks(dependencies, dependencies.webhooks).operations() if dependencies.webhooks else ()),
        *(Reports(dependencies, dependencies.figures).operations() if dependencies.figures else ()),
        *(FrontOperations(dependencies, dependencies.fronts).operations() if dependencies.fronts else ()),
        *(Unsubscribe(OwnLinks(dependencies.opt_outs)).operations() if dependencies.opt_outs else ()),
        *(MtaSts(dependencies.policies).operations() if dependencies.policies else ()),
        *Probes(dependencies.spool, dependencies.health, _shown(dependencies.options), guard).operations(),
    )
    # Written when it is first asked for, and in a thread: it takes a tenth of a start, and few ever ask.
    document = cache(lambda: json.dumps(describe(operations)).encode())

    async def openapi(_request: web.Request) -> web.StreamResponse:
        body = await asyncio.to_thread(document)
        return web.Response(body=body, content_type="application/json", headers=dict(HEADERS))

    application.router.add_get("/openapi.json", openapi)
    application.router.add_route("*", "/openapi.json", _other_method(["GET", "HEAD"]))
    _add_routes(application, operations, guard)
    application.router.add_route("*", mandrill.PATH, mandrill.MandrillDoor(dependencies, messages, guard).handle)
    application.router.add_route("*", "/api/{rest:.*}", _nothing)


def add_front_s_own(application: web.Application, alone: Alone) -> None:
    """What a front without a relay beside it answers of the relay's paths: the probes, and links in its mails."""
    guard = Guard(alone.accounts, alone.clock)
    links = _DistantLinks(alone.opt_out)
    operations = (
        *Unsubscribe(links).operations(),
        *Probes(alone.spool, alone.health, alone.metrics, guard).operations(),
    )
    _add_routes(application, operations, guard)
    application.router.add_route("*", "/api/{rest:.*}", _nothing)


def _shown(options: ApiOptions) -> ShownMetrics:
    return ShownMetrics(options.multiprocess_metrics, guarded=options.guards_metrics)


def _add_routes(application: web.Application, operations: Sequence[Operation], guard: Guard) -> None:
    methods: dict[str, list[str]] = {}
    for operation in operations:
        handler = _handler(operation, guard)
        if operation.method == "GET":
            application.router.add_get(operation.path, handler)
        else:
            application.router.add_route(operation.method, operation.path, handler)
        methods.setdefault(operation.path, []).extend(
            ["GET", "HEAD"] if operation.method == "GET" else [operation.method]
        )
    for path, allowed in methods.items():
        application.router.add_route("*", path, _other_method(allowed))


def _handler(operation: Operation, guard: Guard) -> _AioHandler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            answer = await _answer(operation, guard, request)
        except SpoolUnavailableError as error:
            _log.warning("spool-unavailable", operation=operation.name, error=error)
            answer = from_unavailable(error)
        except (web.HTTPException, ConnectionError):
            raise
        except Exception:  # noqa: BLE001 - the one place where they end
            _log.exception("request-failed", operation=operation.name)
            answer = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Something is broken here; it was logged.")
        return answer.response() if isinstance(answer, Problem) else answer

    return handle


async def _answer(operation: Operation, guard: Guard, request: web.Request) -> web.Response | Problem:
    if operation.open is not None:
        return await operation.open(request)
    if operation.keyed is None:
        raise TypeError(f"operation {operation.name} has no handler")
    identity = await guard.identify(request, operation.access)
    return identity if isinstance(identity, Problem) else await operation.keyed(request, identity)


def _other_method(allowed: list[str]) -> _AioHandler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        return _not_allowed(allowed).response()

    return handle


async def _nothing(_request: web.Request) -> web.StreamResponse:
    return not_found().response()


def _not_allowed(allowed: list[str]) -> Problem:
    headers = {"Allow": ", ".join(sorted(set(allowed)))}
    return Problem(HTTPStatus.METHOD_NOT_ALLOWED, "This is not done here.", headers=headers)


@web.middleware
async def _problems_for_the_rest(request: web.Request, handler: Any) -> web.StreamResponse:
    """What aiohttp itself refuses, in our form."""
    try:
        answer: web.StreamResponse = await handler(request)
    except web.HTTPException as error:
        status = HTTPStatus(error.status)
        problem = not_found() if status == HTTPStatus.NOT_FOUND else Problem(status, f"{status.phrase}.")
        return problem.response()
    return answer
