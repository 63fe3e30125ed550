"""`leak webhook test`, `log` and `replay`: what is posted to a webhook, tried, looked at and told again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, Yes, load, run_async
from relay.cli.output import UsageError, confirm, fail, print_rows, say, say_json
from relay.cli.webhook_open import Number, open_webhooks

if TYPE_CHECKING:
    from relay.notify.webhook import Answer, Post, Webhook
    from relay.settings import Settings


def knock_command(context: typer.Context, number: Number, as_json: Json = False) -> None:
    """Post something that tells no event, signed as all posts are, and say what was answered; no record is made."""
    from relay.clock import SystemClock
    from relay.engine.postman import Postman

    async def work(settings: Settings) -> tuple[Webhook, Answer]:
        async with open_webhooks(settings) as opened:
            webhook = await opened.one(number)
            postman = Postman(webhook, opened.book.secrets(webhook), opened.poster, SystemClock())
            return webhook, await postman.knock()

    webhook, answer = run_async(work(load(context)))
    if as_json:
        say_json({"status": answer.status, "millis": answer.millis, "error": answer.error})
    if not answer.taken:
        fail(f"{webhook.url}: {answer.error}, after {answer.millis} ms")
    if not as_json:
        say(f"{webhook.url} took it: HTTP status {answer.status}, {answer.millis} ms")


def log_command(
    context: typer.Context,
    number: Number,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most, newest first.")] = 30,
    as_json: Json = False,
) -> None:
    """Show the latest posts: which event, which try, what was answered."""

    async def work(settings: Settings) -> list[Post]:
        async with open_webhooks(settings) as opened:
            return await opened.book.posts((await opened.one(number)).id, limit)

    from relay.event.feed import event_id

    rows = [
        {
            "at": post.at,
            "event": event_id(post.seq),
            "try": post.attempt,
            "status": post.status,
            "millis": post.millis,
            "error": post.error,
        }
        for post in run_async(work(load(context)))
    ]
    columns = ("at", "event", "try", "status", "millis", "error")
    print_rows(rows, columns, as_json=as_json, empty="nothing was posted there yet")


def replay_command(
    context: typer.Context,
    number: Number,
    after: Annotated[str, typer.Option("--after", help="A cursor: everything since then is told again.")] = "",
    event: Annotated[
        list[str] | None, typer.Option("--event", metavar="<id>", help="One event's id; may be repeated.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Tell events again: all after a cursor, or single ones."""
    if bool(after) == bool(event):
        raise UsageError("name either --after CURSOR or --event evt_N")
    settings = load(context)
    if after:
        confirm(f"Tell webhook {number} everything since {after} again?", yes=yes)
    run_async(_replay(settings, number, after, event or []))
    say(f"webhook {number} is told again within seconds")


async def _replay(settings: Settings, number: int, after: str, names: Sequence[str]) -> None:
    from relay.event.feed import parse_event_id

    async with open_webhooks(settings) as opened:
        webhook = await opened.one(number)
        if after:
            await opened.book.replay(number, webhook.tenant, await opened.position(after))
            return
        try:
            seqs = {parse_event_id(name) for name in names}
        except ValueError as error:
            raise UsageError(f"--event: {error}") from None
        found = await opened.stores.spool.events_named(sorted(seqs), webhook.tenant)
        if len(found) < len(seqs):
            fail("one of these events is not known, or another tenant's")
        await opened.book.again(number, webhook.tenant, [(one.position.seq, one.message) for one in found])
