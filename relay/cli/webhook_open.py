"""What the commands on webhooks work on: the book of them, and the client that posts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.cli.context import stores
from relay.cli.output import UsageError, fail

if TYPE_CHECKING:
    from relay.event.feed import Position
    from relay.notify.book import WebhookBook
    from relay.notify.poster import Poster
    from relay.notify.webhook import Webhook
    from relay.opening import Stores
    from relay.settings import Settings

LATEST: Final = "latest"

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="As `leak webhook list` shows it.")]


@dataclass(frozen=True, slots=True)
class OpenWebhooks:
    """What the commands work on."""

    stores: Stores
    book: WebhookBook
    poster: Poster

    async def one(self, number: int) -> Webhook:
        """The webhook of this number, whoever's it is. CommandError if there is none."""
        found = next((webhook for webhook in await self.book.webhooks() if webhook.id == number), None)
        return found or fail(f"there is no webhook {number}; see `leak webhook list`")

    async def position(self, after: str) -> Position:
        """The place a cursor names. UsageError for any other text."""
        from relay.event.feed import parse_cursor

        if after == LATEST:
            return await self.stores.spool.last_event()
        try:
            return parse_cursor(after)
        except ValueError as error:
            raise UsageError(f"--after: {error}") from None


@asynccontextmanager
async def open_webhooks(settings: Settings) -> AsyncIterator[OpenWebhooks]:
    """The webhooks of the configured spool, beside the running node. CommandError when there is no spool yet."""
    from relay.clock import SystemClock
    from relay.ids import SystemEntropy
    from relay.making import make_resolver
    from relay.node_secrets import ensure_secrets
    from relay.notify.book import WebhookBook
    from relay.telling import make_poster

    clock, entropy = SystemClock(), SystemEntropy()
    key = ensure_secrets(settings.path(settings.node.secrets), entropy).webhook
    async with stores(settings, must_exist=True) as found:
        resolver = make_resolver(settings, clock)
        poster = make_poster(settings, resolver, clock)
        try:
            yield OpenWebhooks(found, WebhookBook(found.database, clock, entropy, key), poster)
        finally:
            await poster.close()
            await resolver.close()
