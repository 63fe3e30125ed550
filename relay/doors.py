"""The doors of a node, built from the settings: submission, HTTP with API and front, inbound, the operator's pages.

Stands between the settings and the node, which opens them last and closes them first: nothing is taken in before the
spool is ready for it, and nothing after the node began to stop.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from aiohttp import web

from relay.account.identity import FRONT_TENANT, LOCAL_TENANT, Identity
from relay.admin.app import make_admin_app
from relay.admin.parts import AdminParts
from relay.api.app import ApiDependencies, ApiOptions, add_api, make_api
from relay.api.connections import HttpLimits
from relay.api.dependencies import WebhookDoor
from relay.api.guard import loopback_only
from relay.api.server import HttpServer
from relay.client.checking import AddressChecker
from relay.client.local import LocalRelayClient, RelayParts
from relay.clock import Clock
from relay.database.contract import Database
from relay.descriptors import HTTP_SHARE, SMTP_SHARE, within_share
from relay.door_tokens import ensure_admin_tokens, ensure_desk_tokens
from relay.engine.engine import Engine
from relay.engine.unsubscribe import OptOuts
from relay.fronting import Front, FrontParts, front_domains
from relay.ids import Entropy
from relay.listeners import Listener
from relay.node_secrets import NodeSecrets
from relay.opening import Stores
from relay.our_domains import ReportedDomains
from relay.receiving import Receiving, ReceivingParts, sts_policies
from relay.reloading import Reloaded
from relay.resolver.resolver import DnsResolver
from relay.settings import Settings
from relay.spool.letter_replies import LetterReplies
from relay.submission.options import SubmissionOptions
from relay.submission.server import SubmissionServer
from relay.tls_files import server_context
from relay.tls_watch import WatchedDoor
from relay.tokens import Tokens


@dataclass(frozen=True, slots=True)
class DoorParts:
    """What the doors need of the node."""

    listeners: Sequence[Listener]
    stores: Stores
    engine: Engine
    resolver: DnsResolver
    tokens: Tokens
    secrets: NodeSecrets
    opt_outs: OptOuts
    webhooks: WebhookDoor
    front: Front
    clock: Clock
    entropy: Entropy
    not_ready: Callable[[], str]
    """Why no mail should come now; empty while it may."""


class Doors:
    """Every way into one worker. `start` opens those it has a socket for; `drain` lets them finish and closes them."""

    def __init__(self, settings: Settings, parts: DoorParts) -> None:
        self._settings = settings
        self._parts = parts
        self._submission: SubmissionServer | None = None
        self._receiving: Receiving | None = None
        self._http: HttpServer | None = None
        self._customers = RelayParts(
            intake=parts.engine.intake,
            spool=parts.stores.spool,
            checker=AddressChecker(parts.resolver),
            entropy=parts.entropy,
            book=parts.stores.suppressions,
            database=parts.stores.database,
            replies=LetterReplies(parts.stores.database, parts.clock),
            admissions=parts.engine.admissions,
            alarms=parts.engine.alarms,
            opt_outs=parts.opt_outs,
            takes_replies=settings.inbound.domain is not None,
        )
        self._admin: HttpServer | None = None
        self._aside: Database | None = None

    async def start(self) -> None:
        """Open them. Raises ConfigurationError, SpoolUnavailableError."""
        await self._start_submission()
        await self._start_http()
        await self._start_receiving()

    async def drain(self, seconds: float) -> None:
        """Take nothing new, and give what is under way at most `seconds`."""
        if self._submission is not None:
            await self._submission.drain(seconds * 2 / 3)
        if self._receiving is not None:
            await self._receiving.drain(seconds / 3)
        for server in (self._admin, self._http):
            if server is not None:
                await server.stop()
        if self._aside is not None:
            await self._aside.close()

    def with_tls(self) -> Iterator[WatchedDoor]:
        """The doors with a certificate of which this worker has a socket."""
        settings = self._settings
        if settings.submission.tls is not None and self._listeners("submission"):
            yield WatchedDoor(
                "submission.tls",
                settings.submission.tls,
                self._use_submission_tls,
                lambda: self._submission.tls_sessions if self._submission is not None else 0,
            )
        if settings.inbound.tls is not None and self._listeners("inbound"):
            yield WatchedDoor(
                "inbound.tls",
                settings.inbound.tls,
                self._use_inbound_tls,
                lambda: self._receiving.tls_sessions if self._receiving is not None else 0,
            )

    def use(self, anew: Reloaded) -> None:
        """Take over the certificates of a reload."""
        if anew.submission_tls is not None:
            self._use_submission_tls(anew.submission_tls)
        if anew.inbound_tls is not None:
            self._use_inbound_tls(anew.inbound_tls)

    def _use_submission_tls(self, context: ssl.SSLContext) -> None:
        if self._submission is not None:
            self._submission.replace_tls(context)

    def _use_inbound_tls(self, context: ssl.SSLContext) -> None:
        if self._receiving is not None:
            self._receiving.replace_tls(context)

    def _listeners(self, purpose: str) -> list[Listener]:
        return [one for one in self._parts.listeners if one.purpose == purpose]

    async def _start_submission(self) -> None:
        listeners = self._listeners("submission")
        if not listeners:
            return
        stores = self._parts.stores
        tenant = await stores.accounts.ensure_tenant(LOCAL_TENANT)
        trusted = Identity(tenant, LOCAL_TENANT, None, "trusted-network", ("*",))
        self._submission = SubmissionServer(
            submission_options(self._settings), self._parts.engine.intake, stores.accounts, self._parts.clock, trusted
        )
        await self._submission.start([(one.socket, one.listen.tls) for one in listeners])

    async def _start_receiving(self) -> None:
        listeners = self._listeners("inbound")
        if not listeners:
            return
        mine = self._parts
        parts = ReceivingParts(
            mine.stores,
            mine.engine,
            mine.tokens,
            mine.clock,
            mine.resolver,
            tenant=await mine.stores.accounts.ensure_tenant(LOCAL_TENANT),
            answer_key=mine.secrets.block_hash,
            unsubscribe=mine.opt_outs.by_mail,
        )
        self._receiving = Receiving(self._settings, parts)
        await self._receiving.start(listeners)

    async def _start_http(self) -> None:
        settings, desk = self._settings, None
        if listeners := self._listeners("http"):
            dependencies = self._api_dependencies()
            if _has_visitors(settings):
                faces = self._parts.front(await self._front_parts())
                application, desk = faces.public, faces.desk
                # The probes belong to every HTTP port; without the role `api` no key opens the rest.
                add_api(application, dependencies)
            else:
                application = make_api(dependencies)
            self._http = HttpServer(application, http_limits(settings), self._parts.clock)
            await self._http.start([one.socket for one in listeners])
        if listeners := self._listeners("admin"):
            self._admin = HttpServer(self._operators_pages(desk), http_limits(settings), self._parts.clock)
            await self._admin.start([one.socket for one in listeners])

    def _operators_pages(self, desk: web.Application | None) -> web.Application:
        """What this machine's people see, with the desk beside it where there is one."""
        mine = self._parts
        self._aside = mine.stores.database.aside()
        parts = AdminParts(
            node=self._settings.node.name,
            database=self._aside,
            spool=mine.stores.spool,
            clock=mine.clock,
            operators=ensure_admin_tokens(self._settings.path(self._settings.node.secrets), mine.entropy),
            provider_of=mine.engine.provider_of,
            shaping=mine.engine.shaping_of,
            reported=ReportedDomains(self._settings, mine.stores.accounts, mine.clock).get,
            desk=desk is not None,
        )
        return beside_desk(make_admin_app(parts), desk)

    def _api_dependencies(self) -> ApiDependencies:
        settings, mine = self._settings, self._parts
        options = ApiOptions(
            node_name=settings.node.name,
            max_body=settings.api.max_body,
            max_recipients=settings.submission.max_recipients,
            multiprocess_metrics=os.environ.get("PROMETHEUS_MULTIPROC_DIR"),
            guards_metrics=bool(settings.web.onion_url),
        )
        return ApiDependencies(
            intake=mine.engine.intake,
            spool=mine.stores.spool,
            accounts=mine.stores.accounts,
            clock=mine.clock,
            entropy=mine.entropy,
            options=options,
            health=(mine.not_ready,),
            suppressions=mine.stores.suppressions,
            webhooks=mine.webhooks,
            figures=mine.stores.figures,
            opt_outs=mine.opt_outs,
            policies=sts_policies(settings),
            warm_ups=mine.stores.warm_ups,
            notes=mine.stores.notes,
            fronts=partial(LocalRelayClient, self._customers),
        )

    async def _front_parts(self) -> FrontParts:
        settings, mine = self._settings, self._parts
        domains = front_domains(settings)
        tenant = await mine.stores.accounts.ensure_tenant(FRONT_TENANT)
        relay = LocalRelayClient(self._customers, Identity(tenant, FRONT_TENANT, None, "front", domains))
        moderators = ensure_desk_tokens(settings.path(settings.node.secrets), mine.entropy)
        return FrontParts(
            settings=settings,
            relay=relay,
            database=mine.stores.database,
            secrets=mine.secrets,
            clock=mine.clock,
            entropy=mine.entropy,
            sender_domain=domains[0],
            moderators=moderators,
            bell=relay,
        )


def submission_options(settings: Settings) -> SubmissionOptions:
    """The submission door's share of the settings."""
    submission = settings.submission
    return SubmissionOptions(
        hostname=settings.node.name,
        require_auth=submission.require_auth,
        trusted_networks=tuple(ipaddress.ip_network(text) for text in submission.trusted_networks),
        max_message_size=submission.max_message_size,
        max_recipients=submission.max_recipients,
        max_connections=within_share(submission.max_connections, SMTP_SHARE, "submission.max_connections"),
        max_connections_per_address=submission.max_connections_per_address,
        idle_timeout=submission.idle_timeout.total_seconds(),
        tls=server_context(settings, submission.tls, "submission.tls") if submission.tls else None,
    )


def beside_desk(admin: web.Application, desk: web.Application | None) -> web.Application:
    """The operator's pages below `/admin` of one application for this machine alone, the desk's if there is one."""
    if desk is None:
        desk = web.Application()
        desk.router.add_get("/", _to_admin)
    desk.middlewares.insert(0, loopback_only)
    desk.add_subapp("/admin", admin)
    return desk


async def _to_admin(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/admin"})


def http_limits(settings: Settings) -> HttpLimits:
    """The HTTP door's limits on connections."""
    api = settings.api
    return HttpLimits(
        max_connections=within_share(api.max_connections, HTTP_SHARE, "api.max_connections"),
        max_connections_per_address=api.max_connections_per_address,
        proxies=tuple(ipaddress.ip_network(text) for text in settings.web.trusted_proxies),
        names_peers=not _has_visitors(settings),
    )


def _has_visitors(settings: Settings) -> bool:
    """Whether the HTTP door is the front's too."""
    return "web" in settings.node.roles and settings.web.listen is not None
