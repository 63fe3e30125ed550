"""The front as an aiohttp application: routes, pages for errors, and the courier's life.

It is mounted at the root, and the relay's API may be added to the same application: the relay's own paths
(`/api/`, `/u/`, `/healthz` …) are neither routed here nor given our error pages.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from relay.client.contract import Followed, ModerationBell, RelayClient
from relay.clock import Clock
from relay.database.contract import Database
from relay.errors import SpoolUnavailableError
from relay.ids import Entropy
from relay.key_memory import KeyMemory
from relay.log import Log
from web.admission import DayAdmission
from web.catalogue import Language, load_words
from web.client_address import ClientAddressReader
from web.confirming import Confirming, SenderConfirmation
from web.copies import Copies
from web.courier import Courier, Rounds
from web.danger import DangerStore
from web.departing import WayOut
from web.disclosure import SealedStore
from web.documents import Document, Documents, document_routes
from web.doorbell import DoorbellStore, ReadPages
from web.errand_table import ErrandSeal, ErrandTable
from web.errands import Errands
from web.forgetting import LetterForgetter
from web.judgement import Judge
from web.letters import LetterStore
from web.limit_keys import LimitKeys
from web.limits import LetterLimits, PreviewLimits
from web.links import RecipientLinks
from web.mail import MailWriter
from web.mailbox import MailboxHasher
from web.moderation.moderator import Moderator
from web.network import NetworkLists
from web.notice_pages import NoticePages, notice_routes
from web.notices import NoticeStore
from web.options import FrontOptions
from web.pages import Pages
from web.parts import Parts
from web.preview import PreviewTokens
from web.recipient import RecipientPages, RecipientParts
from web.refusal_count import RefusalCount
from web.render import Renderer, make_templates
from web.reports import ReportStore
from web.requests import ForeignFormError, UnreadableFormError, language_of
from web.ruling_counts import RulingCounts
from web.sealing import SealingKeys, month_of
from web.slow_lane import SlowLane
from web.status import StatusPages
from web.tallies import DatabaseTallies
from web.token import TokenSigner
from web.wall import WallStore
from web.wall_keeper import BellRinger, OutboxCounter, WallKeeper
from web.wall_pages import WallPages, wall_routes
from web.way_in import WayIn
from web.weekly import WeeklyKeeper, WeeklyParts, WeeklyWriter
from web.weekly_links import WeeklyLinks
from web.weekly_pages import WeeklyPages, weekly_routes
from web.weekly_store import WeeklyStore

__all__ = ["FrontOptions", "Outside", "make_app"]

_RELAY_PATHS: Final = ("/api/", "/u/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/admin")

_SECRET: Final = re.compile(r"/(?:s|r|read|notice|weekly/confirm|weekly/leave)/")

OPT_OUT: Final[web.AppKey[Callable[[str, web.Request], Awaitable[Followed]]]] = web.AppKey("opt-out")
"""Follows a one-click link, or keeps it until the relay is back: for a front that stands alone."""

_log = Log("front")


@dataclass(frozen=True, slots=True)
class Outside:
    """What the front is given: the relay, its own tables, the rules, time and chance."""

    relay: RelayClient
    database: Database
    letters: LetterStore
    moderator: Moderator
    clock: Clock
    entropy: Entropy
    memory: KeyMemory
    """Shared by the workers of a machine: the keys of limits."""
    bell: ModerationBell | None = None
    """Calls a moderator when letters wait too long."""


def make_app(options: FrontOptions, outside: Outside) -> web.Application:
    """The front. Its start-up makes the tables and begins the courier's rounds; its clean-up ends them.

    Raises ValueError for a trusted proxy that is no network. Serve it without an access log.
    """
    templates = make_templates()
    templates.globals["documents"] = _pages_below(options)
    words = load_words()
    renderer = Renderer(templates, words, https=options.is_https, onion=options.onion_url)
    relay, letters, clock, entropy = outside.relay, outside.letters, outside.clock, outside.entropy
    links = RecipientLinks((options.link_key, *options.old_link_keys), options.base_url)
    mailboxes = MailboxHasher((options.block_key, *options.old_block_keys))
    reports = ReportStore(outside.database, clock, entropy)
    most, doorbells = options.admission_per_day, options.doorbells_per_day
    admission = DayAdmission(outside.database, clock, most, options.shares, doorbells)
    seal = ErrandSeal((options.link_key, *options.old_link_keys))
    keys = LimitKeys(outside.memory, clock, entropy)
    errands = Errands(relay, ErrandTable(outside.database, seal, mailboxes, clock), keys, clock)
    way_out = WayOut(relay, errands, reports, mailboxes, admission, clock)
    networks = NetworkLists(options.network_lists)
    limits = LetterLimits(outside.database, keys, clock, options.organisations)
    lane = SlowLane(outside.database, TokenSigner(options.form_key, clock), clock)
    sealed = SealedStore(outside.database, clock)
    doorbell = DoorbellStore(outside.database, mailboxes, clock)
    notices = NoticeStore(outside.database, clock, entropy)
    writer = MailWriter(options, templates, links)
    confirming = Confirming(
        SenderConfirmation(options.sender_confirmation),
        relay,
        outside.database,
        TokenSigner(options.form_key, clock),
        writer,
        limits if options.limits else None,
        clock,
    )
    wall = WallStore(outside.database, clock, entropy)
    weekly_links = WeeklyLinks(links, clock)
    weekly_writer = WeeklyWriter(options, templates, weekly_links)
    weekly = WeeklyParts(WeeklyStore(outside.database, clock), weekly_writer, weekly_links, mailboxes)
    dangers = DangerStore(outside.database, clock, entropy)
    rulings = RulingCounts(outside.database, clock)
    refusals = RefusalCount(relay, clock)
    watches = [OutboxCounter(outside.database).look, WallKeeper(wall, relay, clock).look, rulings.flush, refusals.look]
    if options.weekly != "off":
        watches.append(WeeklyKeeper(weekly, relay, words, options.weekly, clock).look)
    if outside.bell is not None:
        watches.append(BellRinger(outside.database, outside.bell, clock).ring)
    keepers = (sealed, reports, limits, doorbell, admission, notices, confirming, wall, rulings, dangers)
    old = LetterForgetter(relay, outside.database, clock, options.status_kept)
    forgetting = (*(keeper.forget for keeper in keepers), old.forget)
    rounds = Rounds(options.hand_over_every, options.status_kept, forgetting, (errands.run,), tuple(watches))
    courier = Courier(way_out, letters, clock, entropy, rounds)
    judge = Judge(outside.moderator)
    parts = Parts(
        options=options,
        relay=relay,
        errands=errands,
        store=letters,
        tallies=DatabaseTallies(outside.database),
        courier=courier,
        clock=clock,
        entropy=entropy,
        judge=judge,
        tokens=PreviewTokens(options, clock, entropy),
        writer=writer,
        renderer=renderer,
        addresses=ClientAddressReader(options.trusted_proxies, options.client_port_header),
        sealing=_sealing_keys(options, clock),
        doorbell=doorbell,
        confirming=confirming,
        way_in=WayIn(limits if options.limits else None, lane, admission, relay, options.sender, clock),
        wall=wall,
        limits=limits if options.limits else None,
        previews=PreviewLimits(clock, entropy) if options.limits else None,
        copies=Copies(clock, entropy) if options.limits else None,
        networks=networks,
        rulings=rulings,
        refusals=refusals,
    )
    theirs = RecipientParts(
        options.base_url, relay, errands, clock, letters, reports, doorbell, wall, links, mailboxes, judge, renderer
    )
    app = web.Application(middlewares=[_error_pages(renderer)])
    app[OPT_OUT] = lambda token, request: errands.opt_out(token, parts.client(request).network)
    _add_pages(app, parts, theirs, notices, weekly)
    app.cleanup_ctx.append(_courier_life(letters, courier))
    app.cleanup_ctx.append(_following(networks))
    return app


def _pages_below(options: FrontOptions) -> list[str]:
    """What the links below every page lead to."""
    return [
        *(["wall"] if options.wall else []),
        *(["weekly"] if options.weekly != "off" else []),
        *(document.value for document in Document),
    ]


def _add_pages(
    app: web.Application, parts: Parts, theirs: RecipientParts, notices: NoticeStore, weekly: WeeklyParts
) -> None:
    """The routes of every page that is switched on."""
    options = parts.options
    reading = ReadPages(options.base_url, parts.doorbell, theirs.links, parts.renderer, parts.judge)
    app.add_routes(front_routes(Pages(parts), StatusPages(parts), RecipientPages(theirs), Documents(parts), reading))
    app.add_routes(wall_routes(WallPages(parts)))
    for prefix in ("", *(f"/{language.value}" for language in Language)):
        app.add_routes(notice_routes(NoticePages(parts, notices), prefix))
    if options.weekly != "off":
        app.add_routes(weekly_routes(WeeklyPages(parts, weekly)))


def _sealing_keys(options: FrontOptions, clock: Clock) -> SealingKeys:
    """The public halves. Raises ConfigurationError; what is missing is said, since the law may ask for records."""
    keys = SealingKeys(options.sealed_keys or Path("/nonexistent"))
    month = month_of(clock.now())
    if not keys:
        _log.warning("no-sealing-keys", folder=options.sealed_keys, remedy="leak sealed new-keys; no record is kept")
    elif keys.last < month:
        _log.warning("sealing-keys-old", last=keys.last, remedy="leak sealed new-keys")
    return keys


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
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_RELAY_PATHS):
            return await handler(request)
        language = language_of(request)
        try:
            return await handler(request)
        except ForeignFormError:
            return renderer.notice("refused", language, HTTPStatus.FORBIDDEN)
        except UnreadableFormError:
            return renderer.notice("unreadable", language, HTTPStatus.BAD_REQUEST)
        except SpoolUnavailableError as error:
            _log.warning("store-unavailable", why=str(error))
            return renderer.notice("unavailable", language, HTTPStatus.SERVICE_UNAVAILABLE)
        except web.HTTPException as error:
            kind = "not_found" if error.status == HTTPStatus.NOT_FOUND else "unreadable"
            response = renderer.notice(kind, language, error.status)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - a visitor gets a page in their language, the log gets the rest
            _log.exception("page-broke", path=_SECRET.split(request.path)[0])
            return renderer.notice("broken", language, HTTPStatus.INTERNAL_SERVER_ERROR)

    return middleware
