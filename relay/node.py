"""The node: one worker's whole relay, built once from the settings, started, reloaded and stopped.

It gives clock, entropy, DNS and sockets to those that need them, and opens the doors last: nothing is taken in before
the spool is ready for it. What was started is stopped in the opposite order.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Final

from relay.account.identity import FRONT_TENANT
from relay.alarming import Alarming
from relay.clock import Clock
from relay.doors import DoorParts, Doors
from relay.egress.reach import ReachMemory
from relay.engine.engine import Engine, EngineParts
from relay.engine.lease import place
from relay.engine.reply_address import ReplyAddresses
from relay.engine.return_path import ReturnPaths
from relay.engine.senders import Senders
from relay.engine.unsubscribe import OptOuts, UnsubscribeFields
from relay.examination import Examination
from relay.fronting import Front
from relay.ids import Entropy
from relay.ipv6 import Ipv6Watch
from relay.listeners import Listener
from relay.log import Log
from relay.making import engine_options, make_dialer, make_resolver, make_router, make_signer
from relay.namesake import ALARM as NAME_ALARM
from relay.namesake import is_contested, tell_replaced
from relay.node_secrets import ensure_secrets, token_keys
from relay.opening import Stores, open_patiently
from relay.our_domains import signing_domains
from relay.policy.alarms import AlarmKind
from relay.policy.diagnosis_file import load_diagnoser
from relay.policy.quarantine import Death
from relay.policy.shaping_file import load_shaping
from relay.receiving import return_domains
from relay.reloading import needs_restart, read_anew
from relay.resolver.resolver import DnsResolver
from relay.sending import TlsPolicies
from relay.settings import Settings
from relay.spool.life import Ending, Pulse, Terms
from relay.telling import Telling, TellingParts
from relay.tls_watch import TlsWatch
from relay.tokens import Tokens
from relay.watching import Watched, Watching

_log = Log("node")

DRAIN_SECONDS: Final = 25.0
"""How long transactions under way may take to finish after SIGTERM."""


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
    fell: Death = Death.KILLED
    """How the life before this one ended."""
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
        self._doors: Doors | None = None
        self._tls_watch: TlsWatch | None = None
        self._signer = make_signer(settings)
        self._ends = AsyncExitStack()
        self._ends.callback(self._signer.close)

    async def start(self) -> None:
        """Build and start everything. Raises ConfigurationError, SchemaError, SpoolUnavailableError."""
        settings, parts, ends = self._settings, self._parts, self._ends
        folder = settings.path(settings.node.secrets)
        secrets = ensure_secrets(folder, parts.entropy)
        tokens = Tokens(token_keys(folder), parts.clock)
        stores = self._stores = await open_patiently(settings, parts.clock, parts.entropy, self.stop_asked)
        ends.push_async_callback(stores.close)
        hash_only = await self._front_tenants(stores)
        opt_outs = OptOuts(stores.inbound, tokens, stores.suppressions, parts.clock, hash_only)
        if parts.lab:
            await stores.accounts.ensure_lab_user()
        resolver = make_resolver(settings, parts.clock)
        ends.push_async_callback(resolver.close)
        engine = self._engine = await self._start_engine(stores, resolver, tokens, hash_only)
        examination = Examination(stores.database, engine.alarms)
        examination.start()
        ends.push_async_callback(examination.stop)
        await self._watch_keys()
        telling = Telling(
            settings, TellingParts(stores, engine, resolver, secrets, parts.clock, parts.entropy, parts.worker)
        )
        telling.start()
        ends.push_async_callback(telling.stop)
        if parts.worker == 0:
            self._start_watching(stores, engine, telling)
        door_parts = DoorParts(
            listeners=parts.listeners,
            stores=stores,
            engine=engine,
            resolver=resolver,
            tokens=tokens,
            secrets=secrets,
            opt_outs=opt_outs,
            webhooks=telling.door,
            front=parts.front,
            clock=parts.clock,
            entropy=parts.entropy,
            not_ready=self._not_ready,
        )
        doors = self._doors = Doors(settings, door_parts)
        self._tls_watch = TlsWatch(settings, list(doors.with_tls()), engine.alarms if parts.worker == 0 else None)
        ends.push_async_callback(self._tls_watch.stop)
        await doors.start()
        self._tls_watch.start()
        _log.info("started", worker=parts.worker, roles=",".join(settings.node.roles))

    async def _start_engine(
        self, stores: Stores, resolver: DnsResolver, tokens: Tokens, hash_only: frozenset[int]
    ) -> Engine:
        """The engine with its ways out; it delivers from here on."""
        settings, parts, ends = self._settings, self._parts, self._ends
        policies = TlsPolicies(settings, resolver, parts.clock, stores.sts)
        ends.push_async_callback(policies.close)
        await policies.start()
        reach = ReachMemory(parts.clock)
        senders = Senders(stores.senders.note, signing_domains(settings))
        ends.push_async_callback(senders.stop)
        base_url = settings.unsubscribe.base_url or settings.web.base_url
        engine_parts = EngineParts(
            spool=stores.spool,
            signer=self._signer,
            router=make_router(settings, resolver, parts.entropy, policies.demands, reach),
            dialer=make_dialer(settings, parts.clock, reach),
            clock=parts.clock,
            entropy=parts.entropy,
            returns=ReturnPaths(tokens, return_domains(settings)),
            diagnoser=load_diagnoser(settings.folder),
            shaping=load_shaping(settings.folder),
            suppressions=stores.suppressions,
            wrote=senders.wrote,
            links=UnsubscribeFields(tokens, base_url, settings.inbound.domain or ""),
            replies=ReplyAddresses(tokens, settings.inbound.domain or ""),
            figures=stores.figures,
            warm_ups=stores.warm_ups,
            notes=stores.notes,
            hash_only=hash_only,
        )
        contested = is_contested(await stores.spool.living(), settings.node.name, self._place)
        options = replace(
            engine_options(settings, parts.worker, parts.workers, await self._tenants(stores)),
            terms=Terms(settings.spool.lease, self._place, parts.fell),
        )
        engine = Engine(options, engine_parts, self._end)
        ipv6 = Ipv6Watch(settings, resolver, engine.ways.keep_from_ipv6)
        ends.push_async_callback(ipv6.stop)
        ipv6.start()
        ends.push_async_callback(engine.drain, DRAIN_SECONDS / 2)
        await engine.start()
        if not contested:
            await engine.alarms.end(NAME_ALARM, settings.node.name)
        return engine

    def _start_watching(self, stores: Stores, engine: Engine, telling: Telling) -> None:
        """What one worker does for all of the node: alarms find their way to a person, and the node is looked after."""
        settings, parts = self._settings, self._parts
        alarming = Alarming(settings, stores, engine.alarms, telling.addresses, parts.clock)
        watched = Watched(stores.database, stores.spool, stores.figures, engine.alarms, parts.clock, parts.restarts)
        watching = Watching(settings, watched)
        for one in (alarming, watching):
            one.start()
            self._ends.push_async_callback(one.stop)

    def _end(self, pulse: Pulse) -> None:
        """Others ended our life."""
        self.ended = pulse
        self.stop_asked.set()

    async def _front_tenants(self, stores: Stores) -> frozenset[int]:
        """The front's tenant, if it has one: the people it writes to never gave their address."""
        if {"web", "api"} & set(self._settings.node.roles):  # a front may stand elsewhere, and be given its key later
            return frozenset({await stores.accounts.ensure_tenant(FRONT_TENANT)})
        number = await stores.suppressions.tenant(FRONT_TENANT)
        return frozenset() if number is None else frozenset({number})

    async def _tenants(self, stores: Stores) -> dict[str, int]:
        """The numbers of the tenants that have a pool; they are made where they are not known yet."""
        names = {name for pool in self._settings.egress.pool for name in pool.tenants}
        return {name: await stores.accounts.ensure_tenant(name) for name in sorted(names)}

    def _not_ready(self) -> str:
        return "the node is stopping" if self._draining else ""

    async def reload(self, settings: Settings) -> None:
        """Take over keys, certificates and rules; ConfigurationError leaves everything as it was."""
        anew = read_anew(settings)
        if self._doors is not None:
            self._doors.use(anew)
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
        if self._doors is not None:
            await self._doors.drain(DRAIN_SECONDS * 3 / 4)
        for listener in self._parts.listeners:
            listener.socket.close()
        await self._ends.aclose()
        _log.info("stopped", worker=self._parts.worker)
