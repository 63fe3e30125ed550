"""The node of a front alone: the relay it hands letters to is on another machine, and nothing here sends mail.

One worker's pages and desk on a database of its own, the relay behind `relay.client.remote`. That the relay is away
stops nothing here: letters wait in the front's tables, and readiness is asked of this machine only.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack

from aiohttp import web

from relay.admin.app import make_admin_app
from relay.admin.parts import AdminParts
from relay.alarming import Alarming
from relay.api.app import Alone, add_front_s_own
from relay.api.probes import ShownMetrics
from relay.api.server import HttpServer
from relay.client.bell import AlarmBell, LoneBell
from relay.client.line import Way
from relay.client.remote import RemoteRelayClient
from relay.door_tokens import ensure_admin_tokens, ensure_desk_tokens
from relay.doors import beside_desk, http_limits
from relay.engine.alarms import Alarms
from relay.errors import ConfigurationError
from relay.fronting import FrontParts, front_domains
from relay.log import Log
from relay.making import make_resolver
from relay.node import NodeParts
from relay.node_secrets import ensure_secrets
from relay.opening import Stores, open_patiently
from relay.our_domains import ReportedDomains
from relay.policy.shaping import UNNAMED
from relay.private_file import NotPrivateError, read_private_file
from relay.reloading import needs_restart
from relay.resolver.policy_host import https_context
from relay.settings import Settings
from relay.spool.life import Pulse
from relay.telling import addresses_with
from relay.watching import FrontWatching, Watched

_log = Log("node")


class FrontNode:
    """One worker; lives as `relay.node.Node` does. `ended` is never set: nobody else ends a front's life."""

    def __init__(self, settings: Settings, parts: NodeParts) -> None:
        self._settings = settings
        self._parts = parts
        self._draining = False
        self._relay: RemoteRelayClient | None = None
        self._servers: list[HttpServer] = []
        self._ends = AsyncExitStack()
        self.stop_asked = asyncio.Event()
        self.ended: Pulse | None = None

    async def start(self) -> None:
        """Open the database and the doors. Raises ConfigurationError, SchemaError, SpoolUnavailableError."""
        settings, parts = self._settings, self._parts
        relay = self._relay = RemoteRelayClient(way_of(settings), key_of(settings), parts.clock)
        self._ends.push_async_callback(relay.close)
        folder = settings.path(settings.node.secrets)
        secrets = ensure_secrets(folder, parts.entropy)
        stores = await open_patiently(settings, parts.clock, parts.entropy, self.stop_asked)
        self._ends.push_async_callback(stores.close)
        bell = await self._start_watching(stores, relay) if parts.worker == 0 else None
        faces = parts.front(
            FrontParts(
                settings=settings,
                relay=relay,
                database=stores.database,
                secrets=secrets,
                clock=parts.clock,
                entropy=parts.entropy,
                sender_domain=front_domains(settings)[0],
                moderators=ensure_desk_tokens(folder, parts.entropy),
                bell=bell,
            )
        )
        alone = Alone(
            stores.spool,
            stores.accounts,
            parts.clock,
            (self._not_ready,),
            ShownMetrics(os.environ.get("PROMETHEUS_MULTIPROC_DIR"), guarded=bool(settings.web.onion_url)),
            faces.opt_out,
        )
        add_front_s_own(faces.public, alone)
        inside = beside_desk(self._admin(stores, ensure_admin_tokens(folder, parts.entropy)), faces.desk)
        for purpose, application in (("http", faces.public), ("admin", inside)):
            sockets = [one.socket for one in parts.listeners if one.purpose == purpose]
            if sockets:
                server = HttpServer(application, http_limits(settings), parts.clock)
                self._servers.append(server)
                await server.start(sockets)
        _log.info("started", worker=parts.worker, roles="web", relay=settings.web.relay.url)

    def _admin(self, stores: Stores, operators: Mapping[str, str]) -> web.Application:
        """The operator's pages of a front: its own alarms, and where the rest is to be seen."""
        aside = stores.database.aside()
        self._ends.push_async_callback(aside.close)
        return make_admin_app(
            AdminParts(
                node=self._settings.node.name,
                database=aside,
                spool=stores.spool,
                clock=self._parts.clock,
                operators=operators,
                provider_of=lambda _host, _domain: "",
                shaping=lambda _exchangers, _domains: UNNAMED,
                reported=ReportedDomains(self._settings, stores.accounts, self._parts.clock).get,
                desk=True,
                relay=self._settings.web.relay.url,
            )
        )

    async def _start_watching(self, stores: Stores, relay: RemoteRelayClient) -> LoneBell:
        """What one worker does for all of the node: database, disk and relay are looked at, and people are called."""
        settings, clock = self._settings, self._parts.clock
        alarms = Alarms(stores.spool, clock)
        await alarms.load()
        resolver = make_resolver(settings, clock)
        self._ends.push_async_callback(resolver.close)
        alarming = Alarming(settings, stores, alarms, addresses_with(resolver), clock)
        watched = Watched(stores.database, stores.spool, stores.figures, alarms, clock, self._parts.restarts)
        watching = FrontWatching(settings, watched, relay.line.silence)
        for one in (alarming, watching):
            one.start()
            self._ends.push_async_callback(one.stop)
        return LoneBell(AlarmBell(alarms), relay, calls_somebody=alarming.calls_somebody)

    def _not_ready(self) -> str:
        return "the node is stopping" if self._draining else ""

    async def reload(self, settings: Settings) -> None:
        """Take over the relay's key; ConfigurationError leaves everything as it was."""
        key = key_of(settings)
        if self._relay is not None:
            self._relay.line.use_key(key)
        waiting = needs_restart(self._settings, settings)
        if waiting:
            _log.warning("needs-restart", settings=", ".join(waiting))
        _log.info("reloaded", applied="the relay's key")

    async def stop(self) -> None:
        """Let requests and hand-overs under way finish, then close the database."""
        self._draining = True
        for server in reversed(self._servers):
            await server.stop()
        for listener in self._parts.listeners:
            listener.socket.close()
        await self._ends.aclose()
        _log.info("stopped", worker=self._parts.worker)


def way_of(settings: Settings) -> Way:
    """The way to the relay. Raises ConfigurationError for trust anchors that cannot be read."""
    relay = settings.web.relay
    return Way(relay.url, _context(settings) if relay.url.startswith("https:") else None)


def _context(settings: Settings) -> ssl.SSLContext:
    anchors = settings.web.relay.ca_file
    return https_context(None if anchors is None else settings.path(anchors))


def key_of(settings: Settings) -> str:
    """The key in `web.relay.key_file`. Raises ConfigurationError; the key stands in no text."""
    file = settings.web.relay.key_file
    if file is None:
        raise ConfigurationError("web.relay.key_file: missing; on the relay: leak user add NAME --front")
    path = settings.path(file)
    try:
        key = read_private_file(path).decode("ascii").strip()
    except NotPrivateError as error:
        raise ConfigurationError(f"web.relay.key_file: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else "it is no key"
        raise ConfigurationError(f"web.relay.key_file: {path}: {reason}") from None
    if not key or not key.isprintable() or " " in key:
        raise ConfigurationError(f"web.relay.key_file: {path}: holds no key; one line, as `leak user add` showed it")
    return key
