"""Telling the world what happened, built from the settings: webhooks with their outbox, and the journal.

Stands between the settings and the engine. Whether this worker tells is decided here; what a webhook is may be asked on
every worker with an API. A node's journal is written by its first worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from relay.api.dependencies import WebhookDoor
from relay.clock import Clock
from relay.engine.courier import CourierParts
from relay.engine.engine import Engine
from relay.engine.journal import Journal
from relay.engine.outbox import Outbox
from relay.ids import Entropy
from relay.node_secrets import NodeSecrets
from relay.notify.book import WebhookBook
from relay.notify.journal_file import JournalFile
from relay.notify.poster import Lookup, Poster, PostRules
from relay.opening import Stores
from relay.resolver.contract import Resolver
from relay.resolver.policy_host import https_context
from relay.settings import Settings
from relay.wary_clock import WaryClock


def addresses_with(resolver: Resolver) -> Lookup:
    """Both kinds of addresses of a host; a resolver knows no "localhost", which only the lab may name."""

    async def addresses(host: str) -> Sequence[str]:
        if host == "localhost":
            return ("127.0.0.1",)
        v4, v6 = await asyncio.gather(resolver.ask(host, "A"), resolver.ask(host, "AAAA"))
        return (*v4.records, *v6.records)

    return addresses


def make_poster(settings: Settings, resolver: Resolver, clock: Clock) -> Poster:
    """The client that posts to webhooks, as far as the settings let it go."""
    webhooks, ca_file = settings.webhooks, settings.delivery.ca_file
    return Poster(
        addresses_with(resolver),
        https_context(settings.path(ca_file) if ca_file else None),
        clock,
        PostRules(
            webhooks.timeout.total_seconds(), private=webhooks.allow_private_addresses, clear=webhooks.allow_http
        ),
    )


@dataclass(frozen=True, slots=True)
class TellingParts:
    """What telling needs of the node."""

    stores: Stores
    engine: Engine
    resolver: Resolver
    secrets: NodeSecrets
    clock: Clock
    entropy: Entropy
    worker: int


class Telling:
    """Webhooks and journal of one worker; `start` begins to tell, `stop` ends it before the engine ends."""

    def __init__(self, settings: Settings, parts: TellingParts) -> None:
        webhooks = settings.webhooks
        self.addresses = addresses_with(parts.resolver)
        self._book = WebhookBook(parts.stores.database, parts.clock, parts.entropy, parts.secrets.webhook)
        self._poster = make_poster(settings, parts.resolver, parts.clock)
        self.door = WebhookDoor(self._book, self._poster, webhooks.max_per_tenant)
        clock = WaryClock.of(parts.clock)
        couriers = CourierParts(parts.stores.spool, self._book, clock, parts.entropy, webhooks.give_up_after)
        tells = "delivery" in settings.node.roles
        self._outbox = Outbox(couriers, self._poster, parts.engine.lease, parts.engine.alarms) if tells else None
        self._journal: Journal | None = None
        if settings.journal.file is not None and parts.worker == 0:
            file = JournalFile(settings.path(settings.journal.file))
            self._journal = Journal(parts.stores.spool, file, parts.engine.alarms, settings.node.name)

    def start(self) -> None:
        """Begin to tell."""
        if self._outbox is not None:
            self._outbox.start()
        if self._journal is not None:
            self._journal.start()

    async def stop(self) -> None:
        """Let posts and lines under way end."""
        if self._journal is not None:
            await self._journal.stop()
        if self._outbox is not None:
            await self._outbox.stop()
        await self._poster.close()
