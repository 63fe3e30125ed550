"""`leak queue hold`, `release`, `retry`, `cancel`, `bounce`, `undo`, `suspend`, `resume`: previewed, and undoable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.cli.context import Json, Yes, load, run_async, stores
from relay.cli.output import UsageError, confirm, fail, say, say_json
from relay.cli.queue_filter import (
    Domain,
    MessageId,
    OlderThan,
    Sender,
    Site,
    Tenant,
    To,
    a_label,
    make_filter,
    now,
)
from relay.policy.alarms import AlarmKind
from relay.wording import deliveries

if TYPE_CHECKING:
    from relay.settings import Settings
    from relay.spool.inquiry import QueueFilter
    from relay.spool.orders import RequestReceipt, Suspension, Verb

WINDOW: Final = timedelta(seconds=60)
"""How long a cancel or a bounce can be undone."""

_HELP: Final = {
    "hold": "Stop matching deliveries until they are released; what is under way finishes its attempt first.",
    "release": "Let held deliveries go on, due now.",
    "retry": "Make waiting and held deliveries due now.",
    "cancel": "Take matching deliveries back. Until a minute has passed, `leak queue undo` brings them back.",
    "bounce": "Give matching deliveries up, with a DSN to the sender. Can be undone for a minute.",
}
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `leak queue`."""
    for verb in _HELP:
        app.command(verb, help=_HELP[verb])(_request_command(verb))
    app.command("undo")(undo)
    app.command("suspend")(suspend)
    app.command("resume")(resume)


def _request_command(verb: str) -> Callable[..., None]:
    def command(
        context: typer.Context,
        domain: Domain = "",
        site: Site = "",
        tenant: Tenant = "",
        sender: Sender = "",
        recipient: To = "",
        older_than: OlderThan = "",
        message: MessageId = "",
        every: Annotated[bool, typer.Option("--all", help="Every delivery that is not final.")] = False,
        reason: Reason = "",
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:
        if not any((domain, site, tenant, sender, recipient, older_than, message, every)):
            raise UsageError("say which deliveries, by a filter (--domain, --tenant, --id …) or by --all")
        where = replace(make_filter((domain, tenant, sender, recipient), older_than, message, 1), site=site)
        _ask(load(context), verb, where, reason or f"leak queue {verb}", yes=yes, as_json=as_json)

    return command


def _ask(settings: Settings, verb: str, where: QueueFilter, reason: str, *, yes: bool, as_json: bool) -> None:
    from relay.spool.orders import Verb

    count = run_async(_count(settings, verb, where))
    if count:
        confirm(f"{deliveries(count)} {Verb(verb).would}. Go on?", yes=yes)
    receipt = run_async(_request(settings, verb, where, reason)) if count else None
    if as_json:
        changed = (receipt.changed, receipt.under_way, receipt.id) if receipt else (0, 0, None)
        say_json(dict(zip(("matched", "changed", "under_way", "request"), (count, *changed), strict=True)))
    elif receipt is None:
        say("nothing matches")
    else:
        _tell(verb, receipt)


def _tell(verb: str, receipt: RequestReceipt) -> None:
    say(f"{verb}: {deliveries(receipt.changed)}")
    if receipt.under_way:
        say(f"{deliveries(receipt.under_way)} under way: what their attempt gives comes first")
    if receipt.id is not None:
        until = f" until {receipt.final_at:%H:%M:%S} UTC" if receipt.final_at else ""
        say(f"to take it back{until}: leak queue undo {receipt.id}")


async def _count(settings: Settings, verb: str, where: QueueFilter) -> int:
    from relay.spool.control import concerned
    from relay.spool.orders import Verb

    async with stores(settings, must_exist=True) as opened:
        return await opened.spool.count(replace(where, states=concerned(Verb(verb), where)))


async def _request(settings: Settings, verb: str, where: QueueFilter, reason: str) -> RequestReceipt:
    from relay.spool.orders import Verb

    kind: Verb = Verb(verb)
    async with stores(settings, must_exist=True) as opened:
        return await opened.spool.ask(kind, where, reason, WINDOW)


def undo(
    context: typer.Context,
    request: Annotated[int, typer.Argument(help="The number the request answered with.")],
    as_json: Json = False,
) -> None:
    """Put the deliveries of a request back as they were, where nothing final has happened."""

    async def work(settings: Settings) -> int:
        async with stores(settings, must_exist=True) as opened:
            return await opened.spool.undo(request)

    restored = run_async(work(load(context)))
    if as_json:
        say_json({"restored": restored})
    else:
        say(f"put back: {deliveries(restored)}" if restored else f"request {request} cannot be undone any more")


def suspend(
    context: typer.Context,
    domain: Domain = "",
    site: Site = "",
    source: Annotated[
        str, typer.Option("--source", help="With --site: only what leaves from this egress source.")
    ] = "",
    tenant: Tenant = "",
    duration: Annotated[str, typer.Option("--for", help='How long, as in "2h"; default one hour.')] = "1h",
    reason: Reason = "by the operator",
    as_json: Json = False,
) -> None:
    """Take no mail of a domain, a site or a tenant from the queue for a time; ends by itself.

    With --source the site's mail leaves from the pool's other sources meanwhile.
    """
    from relay.spool.orders import Suspension
    from relay.units import parse_duration

    if not any((domain, site, tenant)):
        raise UsageError("say what to suspend: --domain, --site or --tenant")
    try:
        until = now() + parse_duration(duration)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--for: {error}") from None
    if source and (not site or tenant or domain):
        raise UsageError("--source goes with --site, and with neither --domain nor --tenant")
    settings = load(context)
    if source and source not in _sources(settings):
        raise UsageError(f"there is no egress source {source!r}; there are: {', '.join(_sources(settings))}")
    wanted = Suspension(0, tenant, a_label(domain), site.lower(), until, reason, source)
    number = run_async(_suspend(settings, wanted))
    if not number:
        fail(f"there is no tenant {tenant!r}")
    if as_json:
        say_json(asdict(replace(wanted, id=number)))
    else:
        say(f"suspended until {until:%Y-%m-%d %H:%M:%S} UTC; to end it: leak queue resume {number}")


def _sources(settings: Settings) -> list[str]:
    from relay.sources import egress_sources

    return [one.name for one in egress_sources(settings)]


async def _suspend(settings: Settings, suspension: Suspension) -> int:
    async with stores(settings, must_exist=True) as opened:
        return await opened.spool.suspend(suspension)


def _loosen(settings: Settings, tenant: str, stream: str, *, as_json: bool) -> None:
    async def work() -> bool:
        async with stores(settings, must_exist=True) as opened:
            brake = await opened.figures.loosen(tenant, stream)
            if brake is not None:
                # Here too, for no node may be running that would end it.
                await opened.spool.clear_alarm(AlarmKind.COMPLAINTS, brake.subject)
            return brake is not None

    ended = run_async(work())
    if as_json:
        say_json({"resumed": ended})
    elif ended:
        say("resumed; mail that waits goes on within ten minutes, at once with: leak queue retry")
    else:
        fail(f"stream {stream!r} of tenant {tenant!r} is not braked")


def _wake_site(settings: Settings, site: str, source: str, *, as_json: bool) -> None:
    async def work() -> tuple[int, int]:
        async with stores(settings, must_exist=True) as opened:
            ended = await opened.notes.end_rests(site, source)
            for one in await opened.spool.suspensions():
                if one.site == site and not one.tenant and not one.domain and (not source or one.source == source):
                    ended += await opened.spool.resume(one.id)
            return ended, await opened.spool.count(QueueFilter(site=site, states=(State.WAITING,)))

    from relay.policy.state import State
    from relay.spool.inquiry import QueueFilter

    ended, waiting = run_async(work())
    if as_json:
        say_json({"resumed": ended, "waiting": waiting})
    elif ended:
        say(f"resumed: nothing keeps mail to {site} back from now on; the workers know within ten seconds")
        if waiting:
            say(f"{deliveries(waiting)} wait for their due time; at once, after that: leak queue retry --site {site}")
    else:
        fail(f"no suspension and no rest keeps mail to {site} back" + (f" from {source}" if source else ""))


def resume(
    context: typer.Context,
    suspension: Annotated[
        int | None, typer.Argument(help="The number of the suspension, as `leak queue` shows it.")
    ] = None,
    site: Site = "",
    source: Annotated[str, typer.Option("--source", help="With --site: of this egress source alone.")] = "",
    tenant: Tenant = "",
    stream: Annotated[
        str | None, typer.Option("--stream", help='A stream that is braked for its complaints; "*" = a whole tenant.')
    ] = None,
    as_json: Json = False,
) -> None:
    """End a suspension now; or with --site all that keeps a site's mail back; or with --tenant and --stream a brake."""
    if (suspension is not None) + (stream is not None) + bool(site) != 1:
        raise UsageError("name the number of a suspension, or --site, or a braked stream with --tenant and --stream")
    if site:
        _wake_site(load(context), site.lower(), source, as_json=as_json)
        return
    if stream is not None:
        _loosen(load(context), tenant, stream, as_json=as_json)
        return

    async def work(settings: Settings) -> bool:
        async with stores(settings, must_exist=True) as opened:
            return await opened.spool.resume(suspension or 0)

    ended = run_async(work(load(context)))
    if as_json:
        say_json({"resumed": ended})
    else:
        say("resumed" if ended else f"there is no suspension {suspension} in force")
