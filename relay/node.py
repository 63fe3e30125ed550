"""The node: one worker's whole relay, built once from the settings, started, reloaded and stopped.

It constructs every service, gives clock, entropy, DNS and sockets to those that need them, and opens the
doors last: nothing is taken in before the spool is ready for it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from relay.account.identity import Identity
from relay.alarming import Alarming
from relay.api.app import ApiDependencies, ApiOptions, add_api, make_api
from relay.api.connections import HttpLimits
from relay.api.guard import loopback_only
from relay.api.server import HttpServer
from relay.client.contract import RelayClient
from relay.client.local import LocalRelayClient
from relay.clock import Clock
from relay.database.contract import Database
from relay.descriptors import HTTP_SHARE, SMTP_SHARE, within_share
from relay.desk_tokens import ensure_desk_tokens
from relay.egress.certificates import TrustAnchors, client_context
from relay.egress.dialer import SmtpDialer
from relay.egress.reach import ReachMemory
from relay.egress.timeouts import Timeouts
from relay.engine.dispatcher import DispatcherOptions
from relay.engine.engine import Engine, EngineOptions, EngineParts
from relay.engine.intake import IntakeOptions
from relay.engine.lease import place
from relay.engine.return_path import ReturnPaths
from relay.engine.senders import Senders
from relay.engine.unsubscribe import OptOuts, UnsubscribeFields
from relay.errors import ConfigurationError
from relay.examination import Examination
from relay.ids import Entropy
from relay.ipv6 import Ipv6Watch
from relay.listeners import Listener
from relay.log import Log
from relay.namesake import ALARM as NAME_ALARM
from relay.namesake import is_contested, tell_replaced
from relay.node_secrets import NodeSecrets, ensure_secrets, token_keys
from relay.opening import Stores, open_patiently
from relay.policy.alarms import AlarmKind
from relay.policy.complaints import BrakeRules
from relay.policy.diagnosis_file import load_diagnoser
from relay.policy.notify import NoticeRule
from relay.policy.retry import RetrySchedule
from relay.policy.shaping import Share
from relay.policy.shaping_file import load_shaping
from relay.receiving import Receiving, ReceivingParts, return_domains, signing_domains, sts_policies
from relay.reloading import read_anew
from relay.resolver.contract import Resolver
from relay.resolver.demands import Demands
from relay.resolver.resolver import DnsResolver
from relay.resolver.routing import Router
from relay.sending import TlsPolicies, static_routes
from relay.settings import Settings, parse_listen
from relay.signing.signer import DkimSigner, DomainKeys
from relay.sources import families, make_pools, own_addresses, own_names
from relay.spool.life import Ending, Pulse, Terms
from relay.submission.options import SubmissionOptions
from relay.submission.server import SubmissionServer
from relay.telling import Telling, TellingParts
from relay.tls_files import server_context
from relay.tls_watch import TlsWatch, WatchedDoor
from relay.tokens import Tokens
from relay.watching import Watched, Watching

_log = Log("node")

DRAIN_SECONDS: Final = 25.0
"""How long transactions under way may take to finish after SIGTERM."""

LOCAL_TENANT: Final = "local"
"""The tenant of trusted networks."""

FRONT_TENANT: Final = "leak"
"""The tenant of the web front's letters."""


@dataclass(frozen=True, slots=True)
class FrontParts:
    """What a web front is made of; `front` functions turn it into aiohttp applications."""

    settings: Settings
    relay: RelayClient
    database: Database
    secrets: NodeSecrets
    clock: Clock
    entropy: Entropy
    sender_domain: str
    moderators: Mapping[str, str]
    """The token of each moderator."""


@dataclass(frozen=True, slots=True)
class Faces:
    """What a front shows: its pages to everybody, its desk to moderators on this machine."""

    public: web.Application
    desk: web.Application


Front = Callable[[FrontParts], Faces]


@dataclass(frozen=True, slots=True)
class NodeParts:
    """What the node is given from outside: which worker it is, its sockets, time, chance and the front."""

    worker: int
    workers: int
    listeners: Sequence[Listener]
    clock: Clock
    entropy: Entropy
    front: Front
    restarts: int = 0
    """How often workers of this node died lately."""
    lab: bool = False
    """Whether the lab's user and key are good here; the caller has checked that everything listens on loopback."""


class Node:
    """One worker. `stop_asked` is set when it should end: it was told to, or others ended its life, as `ended` says."""

    def __init__(self, settings: Settings, parts: NodeParts) -> None:
        self._settings = settings
        self._parts = parts
        self._draining = False
        self.stop_asked = asyncio.Event()
        self.ended: Pulse | None = None
        # Workers of one supervisor are one place: only another node of the same name is a rival.
        self._place = place(os.getppid() if parts.workers > 1 else 0)
        self._stores: Stores | None = None
        self._engine: Engine | None = None
        self._submission: SubmissionServer | None = None
        self._receiving: Receiving | None = None
        self._senders: Senders | None = None
        self._opt_outs: OptOuts
        self._http: HttpServer | None = None
        self._desk: HttpServer | None = None
        self._resolver: DnsResolver | None = None
        self._policies: TlsPolicies | None = None
        self._ipv6: Ipv6Watch | None = None
        self._telling: Telling | None = None
        self._examination: Examination | None = None
        self._alarming: Alarming | None = None
        self._watching: Watching | None = None
        self._tls_watch: TlsWatch | None = None
        self._signer = make_signer(settings)

    async def start(self) -> None:
        """Build and start everything. Raises ConfigurationError, SchemaError, SpoolUnavailableError."""
        settings, parts = self._settings, self._parts
        secrets = ensure_secrets(settings.path(settings.node.secrets), parts.entropy)
        tokens = Tokens(token_keys(settings.path(settings.node.secrets)), parts.clock)
        stores = self._stores = await open_patiently(settings, parts.clock, parts.entropy, self.stop_asked)
        self._opt_outs = OptOuts(
            stores.inbound, tokens, stores.suppressions, parts.clock, await self._front_tenants(stores)
        )
        if parts.lab:
            await stores.accounts.ensure_lab_user()
        resolver = self._resolver = make_resolver(settings, parts.clock)
        policies = self._policies = TlsPolicies(settings, resolver, parts.clock, stores.sts)
        await policies.start()
        reach = ReachMemory(parts.clock)
        router = make_router(settings, resolver, parts.entropy, policies.demands, reach)
        dialer = make_dialer(settings, parts.clock, reach)
        returns = ReturnPaths(tokens, return_domains(settings))
        diagnoser, shaping = load_diagnoser(settings.folder), load_shaping(settings.folder)
        senders = self._senders = Senders(stores.inbound.note_sender, signing_domains(settings))
        engine_parts = EngineParts(
            stores.spool,
            self._signer,
            router,
            dialer,
            parts.clock,
            parts.entropy,
            returns,
            diagnoser,
            shaping,
            stores.suppressions,
            senders.wrote,
            UnsubscribeFields(
                tokens, settings.unsubscribe.base_url or settings.web.base_url, settings.inbound.domain or ""
            ),
            stores.figures,
            stores.warm_ups,
            stores.notes,
        )
        contested = is_contested(await stores.spool.living(), settings.node.name, self._place)
        options = replace(
            engine_options(settings, parts.worker, parts.workers, await self._tenants(stores)),
            terms=Terms(settings.spool.lease, self._place),
        )
        engine = self._engine = Engine(options, engine_parts, self._end)
        self._ipv6 = Ipv6Watch(settings, resolver, engine.ways.keep_from_ipv6)
        self._ipv6.start()
        await engine.start()
        self._examination = Examination(stores.database, engine.alarms)
        self._examination.start()
        if not contested:
            await engine.alarms.end(NAME_ALARM, settings.node.name)
        await self._watch_keys()
        telling = TellingParts(stores, engine, resolver, secrets, parts.clock, parts.entropy, parts.worker)
        self._telling = Telling(settings, telling)
        self._telling.start()
        if parts.worker == 0:
            self._alarming = Alarming(settings, stores, engine, self._telling.addresses, parts.clock)
            self._alarming.start()
            self._watching = Watching(
                settings,
                Watched(stores.database, stores.spool, stores.figures, engine.alarms, parts.clock, parts.restarts),
            )
            self._watching.start()
        self._tls_watch = TlsWatch(settings, list(self._tls_doors()), engine.alarms if parts.worker == 0 else None)
        await self._start_submission(stores, engine)
        await self._start_http(stores, engine, resolver, secrets)
        await self._start_receiving(stores, engine, resolver, tokens)
        self._tls_watch.start()
        _log.info("started", worker=parts.worker, roles=",".join(settings.node.roles))

    def _end(self, pulse: Pulse) -> None:
        """Others ended our life."""
        self.ended = pulse
        self.stop_asked.set()

    async def _front_tenants(self, stores: Stores) -> frozenset[int]:
        """The front's tenant, if it has one: the people it writes to never gave their address."""
        if "web" in self._settings.node.roles:
            return frozenset({await stores.accounts.ensure_tenant(FRONT_TENANT)})
        number = await stores.suppressions.tenant(FRONT_TENANT)
        return frozenset() if number is None else frozenset({number})

    async def _tenants(self, stores: Stores) -> dict[str, int]:
        """The numbers of the tenants that have a pool; they are made where they are not known yet."""
        names = {name for pool in self._settings.egress.pool for name in pool.tenants}
        return {name: await stores.accounts.ensure_tenant(name) for name in sorted(names)}

    def _tls_doors(self) -> Iterator[WatchedDoor]:
        """The doors with a certificate of which this worker has a socket."""
        settings, purposes = self._settings, {one.purpose for one in self._parts.listeners}
        if settings.submission.tls is not None and "submission" in purposes:
            yield WatchedDoor("submission.tls", settings.submission.tls, self._use_submission_tls)
        if settings.inbound.tls is not None and "inbound" in purposes:
            yield WatchedDoor("inbound.tls", settings.inbound.tls, self._use_inbound_tls)

    def _use_submission_tls(self, context: ssl.SSLContext) -> None:
        if self._submission is not None:
            self._submission.replace_tls(context)

    def _use_inbound_tls(self, context: ssl.SSLContext) -> None:
        if self._receiving is not None:
            self._receiving.replace_tls(context)

    async def _start_submission(self, stores: Stores, engine: Engine) -> None:
        listeners = [(one.socket, one.listen.tls) for one in self._parts.listeners if one.purpose == "submission"]
        if not listeners:
            return
        settings = self._settings
        tenant = await stores.accounts.ensure_tenant(LOCAL_TENANT)
        trusted = Identity(tenant, LOCAL_TENANT, None, "trusted-network", ("*",))
        self._submission = SubmissionServer(
            submission_options(settings), engine.intake, stores.accounts, self._parts.clock, trusted
        )
        await self._submission.start(listeners)

    async def _start_receiving(self, stores: Stores, engine: Engine, resolver: Resolver, tokens: Tokens) -> None:
        listeners = [one for one in self._parts.listeners if one.purpose == "inbound"]
        if listeners:
            secrets = ensure_secrets(self._settings.path(self._settings.node.secrets), self._parts.entropy)
            parts = ReceivingParts(
                stores,
                engine,
                tokens,
                self._parts.clock,
                resolver,
                tenant=await stores.accounts.ensure_tenant(LOCAL_TENANT),
                answer_key=secrets.block_hash,
                unsubscribe=self._opt_outs.by_mail,
            )
            self._receiving = Receiving(self._settings, parts)
            await self._receiving.start(listeners)

    async def _start_http(self, stores: Stores, engine: Engine, resolver: DnsResolver, secrets: NodeSecrets) -> None:
        listeners = [one for one in self._parts.listeners if one.purpose == "http"]
        desks = [one for one in self._parts.listeners if one.purpose == "admin"]
        if not listeners:
            return
        settings, roles = self._settings, self._settings.node.roles
        dependencies = self._api_dependencies(stores, engine)
        if "web" in roles and settings.web.listen is not None:
            faces = self._parts.front(await self._front_parts(stores, engine, resolver, secrets))
            application = faces.public
            # The probes belong to every HTTP port; without the role `api` no key opens the rest.
            add_api(application, dependencies)
            if desks:
                faces.desk.middlewares.insert(0, loopback_only)
                self._desk = HttpServer(faces.desk, http_limits(settings), self._parts.clock)
        else:
            application = make_api(dependencies)
        self._http = HttpServer(application, http_limits(settings), self._parts.clock)
        await self._http.start([one.socket for one in listeners])
        if self._desk is not None:
            await self._desk.start([one.socket for one in desks])

    def _api_dependencies(self, stores: Stores, engine: Engine) -> ApiDependencies:
        settings = self._settings
        options = ApiOptions(
            node_name=settings.node.name,
            max_body=settings.api.max_body,
            max_recipients=settings.submission.max_recipients,
            multiprocess_metrics=os.environ.get("PROMETHEUS_MULTIPROC_DIR"),
        )
        clock, entropy = self._parts.clock, self._parts.entropy
        return ApiDependencies(
            engine.intake,
            stores.spool,
            stores.accounts,
            clock,
            entropy,
            options,
            (self._not_ready,),
            stores.suppressions,
            self._telling.door if self._telling is not None else None,
            stores.figures,
            self._opt_outs,
            sts_policies(settings),
            stores.warm_ups,
            stores.notes,
        )

    async def _front_parts(
        self, stores: Stores, engine: Engine, resolver: DnsResolver, secrets: NodeSecrets
    ) -> FrontParts:
        settings, entropy = self._settings, self._parts.entropy
        domain = sender_domain(settings)
        tenant = await stores.accounts.ensure_tenant(FRONT_TENANT)
        identity = Identity(tenant, FRONT_TENANT, None, "front", (domain,))
        relay = LocalRelayClient(
            engine.intake,
            stores.spool,
            resolver,
            identity,
            entropy,
            stores.suppressions,
            stores.database,
            engine.admissions,
            engine.alarms,
        )
        moderators = ensure_desk_tokens(settings.path(settings.node.secrets), entropy)
        return FrontParts(settings, relay, stores.database, secrets, self._parts.clock, entropy, domain, moderators)

    def _not_ready(self) -> str:
        return "the node is stopping" if self._draining else ""

    async def reload(self, settings: Settings) -> None:
        """Take over keys, certificates and rules; ConfigurationError leaves everything as it was."""
        anew = read_anew(settings)
        if self._submission is not None and anew.submission_tls is not None:
            self._submission.replace_tls(anew.submission_tls)
        if self._receiving is not None and anew.inbound_tls is not None:
            self._receiving.replace_tls(anew.inbound_tls)
        if self._tls_watch is not None:
            self._tls_watch.follow(settings)
        if self._engine is not None:
            self._engine.use(anew.diagnoser, anew.shaping)
        await self._watch_keys()
        waiting = needs_restart(self._settings, settings)
        if waiting:
            _log.warning("needs-restart", settings=", ".join(waiting))
        _log.info("reloaded", applied="keys, certificates and rules")

    async def _watch_keys(self) -> None:
        """Load the keys, and let the alarms say which domains have none that can be used."""
        if self._engine is None:
            return
        unavailable = self._signer.reload()
        for domain in (entry.domain for entry in self._settings.signing.domain):
            if domain in unavailable:
                await self._engine.alarms.start(AlarmKind.DKIM_KEY, domain, unavailable[domain])
            elif await self._engine.alarms.end(AlarmKind.DKIM_KEY, domain):
                _log.warning("key-mended", domain=domain, remedy="leak queue release lets go what was held for it")

    async def stop(self) -> None:
        """Drain the doors, then the engine, then close the spool."""
        self._draining = True
        if self._engine is not None and self.ended is not None and self.ended.ending is Ending.REPLACED:
            await tell_replaced(self._engine.alarms, self._settings.node.name, self._place, self.ended.by)
        if self._submission is not None:
            await self._submission.drain(DRAIN_SECONDS / 2)
        if self._receiving is not None:
            await self._receiving.drain(DRAIN_SECONDS / 4)
        for server in (self._desk, self._http):
            if server is not None:
                await server.stop()
        for listener in self._parts.listeners:
            listener.socket.close()
        if self._tls_watch is not None:
            await self._tls_watch.stop()
        if self._watching is not None:
            await self._watching.stop()
        if self._alarming is not None:
            await self._alarming.stop()
        if self._telling is not None:
            await self._telling.stop()
        if self._engine is not None:
            await self._engine.drain(DRAIN_SECONDS / 2)
        if self._senders is not None:
            await self._senders.stop()
        if self._ipv6 is not None:
            await self._ipv6.stop()
        if self._examination is not None:
            await self._examination.stop()
        if self._policies is not None:
            await self._policies.close()
        if self._resolver is not None:
            await self._resolver.close()
        self._signer.close()
        if self._stores is not None:
            await self._stores.close()
        _log.info("stopped", worker=self._parts.worker)


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """The settings that differ and that a reload does not apply: all but what certificates and keys hold."""
    before, after = old.model_dump(), new.model_dump()
    return sorted(
        f"{section}.{key}"
        for section, values in after.items()
        for key, value in values.items()
        if before[section].get(key) != value
    )


def make_signer(settings: Settings) -> DkimSigner:
    """The signer of the configured domains."""
    signing = settings.signing
    domains = [DomainKeys(entry.domain, entry.selectors, entry.ed25519) for entry in signing.domain]
    return DkimSigner(settings.path(signing.keys), domains, signing.threads, signing.operator_domain)


def make_resolver(settings: Settings, clock: Clock) -> DnsResolver:
    """The resolver the settings name."""
    servers = [(address.host, address.port) for address in settings.resolver.nameservers]
    timeout = settings.resolver.timeout.total_seconds()
    return DnsResolver(servers, timeout=timeout, trust_ad=settings.resolver.trust_ad, clock=clock)


def make_dialer(settings: Settings, clock: Clock, reach: ReachMemory | None = None) -> SmtpDialer:
    """The dialer, with the system's trust anchors and the configured ones."""
    delivery = settings.delivery
    return SmtpDialer(
        tls_context=client_context(),
        anchors=TrustAnchors.load(settings.path(delivery.ca_file) if delivery.ca_file else None),
        timeouts=replace(Timeouts().scaled(delivery.time_scale), connect=delivery.connect_timeout.total_seconds()),
        clock=clock,
        reach=reach,
        chunking=delivery.chunking,
    )


def make_router(
    settings: Settings,
    resolver: Resolver,
    entropy: Entropy,
    demands: Demands | None = None,
    reach: ReachMemory | None = None,
) -> Router:
    """The router, which knows our own names and addresses so that mail never loops to ourselves."""
    smarthost = parse_listen(settings.delivery.smarthost) if settings.delivery.smarthost else None
    return Router(
        resolver,
        port=settings.delivery.port,
        allow_private=settings.delivery.allow_private_addresses,
        own_names=own_names(settings),
        own_addresses=own_addresses(settings),
        smarthost=(smarthost.host, smarthost.port) if smarthost else None,
        entropy=entropy,
        families=families(settings),
        demands=demands,
        routes=static_routes(settings),
        literals=settings.delivery.address_literals,
        late=reach.late if reach else lambda _: False,
        waivers=settings.delivery.tls_required_no,
    )


def engine_options(
    settings: Settings, worker: int, workers: int, tenants: Mapping[str, int] | None = None
) -> EngineOptions:
    """The engine's share of the settings; a path's connections are split among the workers.

    `tenants` are the spool's numbers of the tenants that the settings name.
    """
    delivery = settings.delivery
    return EngineOptions(
        worker=worker,
        intake=IntakeOptions(
            node_name=settings.node.name,
            max_size=settings.submission.max_message_size,
            max_recipients=settings.submission.max_recipients,
            expire_after=delivery.expire_after,
            hide_client=settings.submission.hide_client,
            one_click=frozenset(settings.unsubscribe.streams),
        ),
        dispatcher=DispatcherOptions(
            window=delivery.window,
            line=max(1, delivery.window // 4),
            rest=delivery.retry[0],
        ),
        schedule=RetrySchedule(delivery.retry, delivery.jitter),
        pools=make_pools(settings, tenants or {}),
        keep_content=settings.spool.keep_content,
        notices=NoticeRule(delivery.delay_notice, delivery.delay_notice_unasked),
        delivers="delivery" in settings.node.roles,
        brake=brake_rules(settings),
        workers=workers,
        share=Share(worker, workers),
    )


def brake_rules(settings: Settings) -> BrakeRules | None:
    """The complaint brake's rules, None when it is off."""
    wanted = settings.complaints
    if not wanted.brake:
        return None
    return BrakeRules(
        slow=wanted.slow,
        stop=wanted.stop,
        enough=wanted.enough,
        window=wanted.window,
        per_minute=wanted.per_minute,
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


def http_limits(settings: Settings) -> HttpLimits:
    """The HTTP door's limits on connections."""
    api = settings.api
    return HttpLimits(
        max_connections=within_share(api.max_connections, HTTP_SHARE, "api.max_connections"),
        max_connections_per_address=api.max_connections_per_address,
        proxies=tuple(ipaddress.ip_network(text) for text in settings.web.trusted_proxies),
    )


def sender_domain(settings: Settings) -> str:
    """The domain of the letters' From. Raises ConfigurationError when the settings name none."""
    if settings.web.sender_domain is not None:
        return settings.web.sender_domain
    if settings.signing.domain:
        return settings.signing.domain[0].domain
    raise ConfigurationError("web.sender_domain: missing; the front needs a domain for its letters' From")
