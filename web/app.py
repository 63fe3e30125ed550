"""The front as an aiohttp application: routes, pages for errors, and the courier's life.

It is mounted at the root, and the relay's API may be added to the same application: the relay's own paths
(`/api/`, `/u/`, `/healthz` …) are neither routed here nor given our error pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relay.client.contract import Followed
from relay.pages.errors import Trouble, pages_for_errors
from web.building import Building
from web.catalogue import Language
from web.courier import Courier
from web.documents import Documents, document_routes
from web.doorbell import ReadPages
from web.letters import LetterStore
from web.network import NetworkLists
from web.notice_pages import NoticePages, notice_routes
from web.notices import NoticeStore
from web.options import FrontOptions
from web.outside import Outside
from web.pages import Pages
from web.parts import Parts
from web.recipient import RecipientPages, RecipientParts
from web.render import Renderer
from web.requests import language_of
from web.status import StatusPages
from web.wall_pages import WallPages, wall_routes
from web.weekly import WeeklyParts
from web.weekly_pages import WeeklyPages, weekly_routes

_RELAY_PATHS: Final = ("/api/", "/u/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/admin")

_NOTICES: Final = {
    Trouble.FOREIGN: "refused",
    Trouble.UNREADABLE: "unreadable",
    Trouble.UNAVAILABLE: "unavailable",
    Trouble.MISSING: "unreadable",
    Trouble.BROKEN: "broken",
}

OPT_OUT: Final[web.AppKey[Callable[[str, web.Request], Awaitable[Followed]]]] = web.AppKey("opt-out")
"""Follows a one-click link, or keeps it until the relay is back: for a front that stands alone."""


def make_app(options: FrontOptions, outside: Outside) -> web.Application:
    """The front. Its start-up makes the tables and begins the courier's rounds; its clean-up ends them.

    Raises ValueError for a trusted proxy that is no network. Serve it without an access log.
    """
    building = Building(options, outside)
    parts, theirs, errands = building.parts(), building.recipient_parts(), building.errands
    app = web.Application(middlewares=[_error_pages(parts.renderer)])
    app[OPT_OUT] = lambda token, request: errands.opt_out(token, parts.client(request).network)
    _add_pages(app, parts, theirs, building.stores.notices, building.weekly)
    app.cleanup_ctx.append(_courier_life(parts.stores.letters, parts.courier))
    app.cleanup_ctx.append(_following(parts.networks))
    return app


def _add_pages(
    app: web.Application, parts: Parts, theirs: RecipientParts, notices: NoticeStore, weekly: WeeklyParts
) -> None:
    """The routes of every page that is switched on."""
    options = parts.options
    reading = ReadPages(options.base_url, parts.stores.doorbell, theirs.links, parts.renderer, parts.judge)
    app.add_routes(front_routes(Pages(parts), StatusPages(parts), RecipientPages(theirs), Documents(parts), reading))
    app.add_routes(wall_routes(WallPages(parts)))
    for prefix in ("", *(f"/{language.value}" for language in Language)):
        app.add_routes(notice_routes(NoticePages(parts, notices), prefix))
    if options.weekly != "off":
        app.add_routes(weekly_routes(WeeklyPages(parts, weekly)))


def front_routes(
    pages: Pages, status: StatusPages, recipient: RecipientPages, documents: Documents, doorbell: ReadPages
) -> list[web.RouteDef]:
    """Every route of the front, with and without a language before it."""
    routes = [
        web.get("/robots.txt", pages.robots),
        web.get("/static/{digest}/{name}", pages.asset),
    ]
    for prefix in ("", *(f"/{language.value}" for language in Language)):
        routes += [
            web.get(f"{prefix}/", pages.compose),
            web.post(f"{prefix}/", pages.compose_again),
            web.get(f"{prefix}/preview", pages.back_to_compose),
            web.post(f"{prefix}/preview", pages.preview),
            web.get(f"{prefix}/s/{{secret}}", status.show),
            web.post(f"{prefix}/s/{{secret}}", status.act),
            web.get(f"{prefix}/r/{{token}}", recipient.show),
            web.post(f"{prefix}/r/{{token}}", recipient.act),
            web.get(f"{prefix}/read/{{token}}", doorbell.ask),
            web.post(f"{prefix}/read/{{token}}", doorbell.read),
            *document_routes(documents, prefix),
        ]
    return routes + [web.get(f"/{language.value}", pages.back_to_compose) for language in Language]


def _courier_life(letters: LetterStore, courier: Courier) -> Callable[[web.Application], AsyncIterator[None]]:
    async def life(_: web.Application) -> AsyncIterator[None]:
        await letters.prepare()
        await courier.start()
        yield
        await courier.stop()

    return life


def _following(networks: NetworkLists) -> Callable[[web.Application], AsyncIterator[None]]:
    async def life(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(networks.follow(), name="web network lists")
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return life


def _error_pages(renderer: Renderer) -> Middleware:
    """Pages for errors, but for what is the relay's below the same application: programs ask there."""
    pages = pages_for_errors(lambda request, trouble, status: _told(renderer, request, trouble, status))

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await (handler(request) if request.path.startswith(_RELAY_PATHS) else pages(request, handler))

    return middleware


def _told(renderer: Renderer, request: web.Request, trouble: Trouble, status: int) -> web.Response:
    kind = "not_found" if status == HTTPStatus.NOT_FOUND else _NOTICES[trouble]
    return renderer.notice(kind, language_of(request), status)
