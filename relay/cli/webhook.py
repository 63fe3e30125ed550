"""`leak webhook`: where events are posted to, of every tenant: made, tried, looked at, told again, stopped.

Opens the spool itself, as the other commands do; a running node sees what changed within seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.cli.context import Json, Yes, load, run_async
from relay.cli.output import UsageError, confirm, fail, print_rows, say, say_json
from relay.cli.webhook_open import LATEST, Number, open_webhooks
from relay.cli.webhook_posts import knock_command, log_command, replay_command
from relay.wording import ago

if TYPE_CHECKING:
    from relay.event import EventKind
    from relay.notify.webhook import Form, Webhook
    from relay.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Where events are posted to: list, add, test, log, replay, enable.")
app.command("test")(knock_command)
app.command("log")(log_command)
app.command("replay")(replay_command)

BY_HAND: Final = "by hand"
"""Why a webhook that a person stopped is disabled."""


@app.command("list")
def list_command(context: typer.Context, as_json: Json = False) -> None:
    """List the webhooks of all tenants and how each stands; no secret is shown."""

    async def work(settings: Settings) -> tuple[list[Webhook], dict[int, str]]:
        async with open_webhooks(settings) as opened:
            names = {user.tenant for user in await opened.stores.accounts.list_users()}
            numbered = {await opened.stores.suppressions.tenant(name): name for name in names}
            return await opened.book.webhooks(), {key: name for key, name in numbered.items() if key is not None}

    found, tenants = run_async(work(load(context)))
    rows = [_row(one, tenants.get(one.tenant, str(one.tenant)), as_json=as_json) for one in found]
    columns = ("id", "tenant", "url", "form", "kinds", "state", "parked", "failures", "taken")
    empty = "no webhooks; add one with `leak webhook add URL --tenant NAME`, or over the API"
    print_rows(rows, columns, as_json=as_json, empty=empty)


def _row(webhook: Webhook, tenant: str, *, as_json: bool) -> dict[str, object]:
    from relay.clock import SystemClock

    kinds = [kind.label for kind in sorted(webhook.kinds)]
    row: dict[str, object] = {
        "id": webhook.id,
        "tenant": tenant,
        "url": webhook.url,
        "form": webhook.form.value,
        "kinds": kinds if as_json else ", ".join(kinds) or "all",
        "enabled": webhook.is_enabled,
        "disabled_why": webhook.disabled_why,
        "cursor": str(webhook.position),
        "parked": webhook.parked,
        "failures": webhook.failures,
        "failing_since": webhook.failing_since,
        "taken_at": webhook.taken_at,
        "description": webhook.description,
    }
    if not as_json:
        row["state"] = "enabled" if webhook.is_enabled else f"disabled: {webhook.disabled_why}"
        row["taken"] = "never" if webhook.taken_at is None else f"{ago(webhook.taken_at, SystemClock().now())} ago"
    return row


@app.command("add")
def add_command(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Where events are posted to.")],
    tenant: Annotated[str, typer.Option("--tenant", help="Whose events; `leak user list` shows the tenants.")],
    kinds: Annotated[str, typer.Option("--kinds", help="Only these kinds of events, with commas; default all.")] = "",
    form: Annotated[str, typer.Option("--form", help="standard or mandrill.")] = "standard",
    description: Annotated[str, typer.Option("--description", help="A note, kept with it.")] = "",
    after: Annotated[str, typer.Option("--after", help="A cursor: tell what came after it too.")] = LATEST,
    as_json: Json = False,
) -> None:
    """Have a tenant's events posted to a URL. The secret that signs is shown this once."""
    from relay.notify.poster import UrlError
    from relay.notify.webhook import Form, NewWebhook

    wanted, settings, chosen = _form(form), load(context), _kinds(kinds)

    async def work() -> tuple[Webhook, str]:
        async with open_webhooks(settings) as opened:
            number = await opened.stores.suppressions.tenant(tenant)
            if number is None:
                fail(f"there is no tenant {tenant!r}; see `leak user list`")
            try:
                opened.poster.check(url)
            except UrlError as error:
                raise UsageError(f"{url}: {error}") from None
            if wanted is Form.MANDRILL and (answer := await opened.poster.head(url)).error:
                fail(f"{url}: a HEAD request must be answered with 200: {answer.error}")
            position = await opened.position(after)
            new = NewWebhook(number, url, wanted, chosen, description[:200], position)
            made = await opened.book.add(new, settings.webhooks.max_per_tenant)
            if made is None:
                fail(f"{tenant} has {settings.webhooks.max_per_tenant} webhooks already; remove one")
            return made, opened.book.secret(made)

    made, secret = run_async(work())
    if as_json:
        say_json({"id": made.id, "url": made.url, "secret": secret})
        return
    say(f"added webhook {made.id}: {made.url}")
    say(f"secret (shown this once): {secret}")


def _form(word: str) -> Form:
    from relay.notify.webhook import Form

    try:
        return Form(word)
    except ValueError:
        raise UsageError("--form: write standard or mandrill") from None


def _kinds(words: str) -> frozenset[EventKind]:
    from relay.event import EventKind

    known = {kind.label: kind for kind in EventKind}
    wanted = [word.strip() for word in words.split(",") if word.strip()]
    unknown = [word for word in wanted if word not in known]
    if unknown:
        raise UsageError(f"--kinds: there is no kind {unknown[0]!r}; there are {', '.join(known)}")
    return frozenset(known[word] for word in wanted)


@app.command("enable")
def enable_command(context: typer.Context, number: Number) -> None:
    """Go on where a disabled webhook stopped."""
    from relay.policy.alarms import AlarmKind

    async def work(settings: Settings) -> None:
        async with open_webhooks(settings) as opened:
            await opened.book.enable(number, (await opened.one(number)).tenant)
            await opened.stores.spool.clear_alarm(AlarmKind.WEBHOOK_DISABLED, str(number))

    run_async(work(load(context)))
    say(f"webhook {number} is enabled")


@app.command("disable")
def disable_command(context: typer.Context, number: Number) -> None:
    """Tell it nothing until it is enabled; it keeps its place, so nothing is lost."""

    async def work(settings: Settings) -> None:
        async with open_webhooks(settings) as opened:
            await opened.book.disable(number, (await opened.one(number)).tenant, BY_HAND)

    run_async(work(load(context)))
    say(f"webhook {number} is disabled; `leak webhook enable {number}` goes on where it stopped")


@app.command("rotate")
def rotate_command(context: typer.Context, number: Number, yes: Yes = False, as_json: Json = False) -> None:
    """Make a new secret, shown this once; for a day both sign."""
    confirm(f"Give webhook {number} a new secret?", yes=yes)

    async def work(settings: Settings) -> str:
        async with open_webhooks(settings) as opened:
            changed = await opened.book.rotate(number, (await opened.one(number)).tenant)
            return "" if changed is None else opened.book.secret(changed)

    secret = run_async(work(load(context)))
    if as_json:
        say_json({"id": number, "secret": secret})
    else:
        say(f"secret (shown this once): {secret}")


@app.command("remove")
def remove_command(context: typer.Context, number: Number, yes: Yes = False) -> None:
    """Remove it with its log."""
    from relay.policy.alarms import AlarmKind

    confirm(f"Remove webhook {number} with its log?", yes=yes)

    async def work(settings: Settings) -> None:
        async with open_webhooks(settings) as opened:
            await opened.book.remove(number, (await opened.one(number)).tenant)
            await opened.stores.spool.clear_alarm(AlarmKind.WEBHOOK_DISABLED, str(number))

    run_async(work(load(context)))
    say(f"removed webhook {number}")
