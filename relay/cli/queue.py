"""`leak queue`: what waits, by lane and by delivery, and another try for what a filter names."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, Yes, load, run_async, stores
from relay.cli.output import UsageError, ago, confirm, print_rows, say, say_json, say_table, until

if TYPE_CHECKING:
    from relay.settings import Settings
    from relay.spool.contract import Alarm, DeliveryView, LaneFigures, QueueFilter

app = typer.Typer(help="What waits for delivery; summary by tenant and domain without a further word.")

Domain = Annotated[str, typer.Option("--domain", help="Deliveries to this domain.")]
Tenant = Annotated[str, typer.Option("--tenant", help="Deliveries of this tenant.")]
Sender = Annotated[str, typer.Option("--sender", help="Deliveries with this envelope sender.")]
To = Annotated[str, typer.Option("--recipient", help="Deliveries to this address.")]
OlderThan = Annotated[str, typer.Option("--older-than", help='Accepted longer ago than this, as in "2h".')]
MessageId = Annotated[str, typer.Option("--id", help="Deliveries of this message.")]
_COUNTED = 100_000
"""A preview counts no further; what is beyond takes a second call."""


@app.callback(invoke_without_command=True)
def summary(context: typer.Context, as_json: Json = False) -> None:
    """Waiting, leased and held deliveries by tenant and domain, the oldest and the next due, and standing alarms."""
    if context.invoked_subcommand is not None:
        return
    lanes, alarms = run_async(_read_summary(load(context)))
    if as_json:
        say_json({"lanes": [asdict(lane) for lane in lanes], "alarms": [asdict(alarm) for alarm in alarms]})
        return
    now = _now()
    rows = [
        (
            lane.domain,
            lane.tenant,
            lane.waiting,
            lane.leased,
            lane.held,
            ago(lane.oldest, now),
            until(lane.next_due, now),
        )
        for lane in lanes
    ]
    columns = ("domain", "tenant", "waiting", "leased", "held", "oldest", "next due")
    say_table(columns, rows, empty="nothing waits")
    for alarm in alarms:
        say(f"alarm since {alarm.since:%Y-%m-%d %H:%M:%S}: {alarm.kind} {alarm.subject}: {alarm.detail}")


async def _read_summary(settings: Settings) -> tuple[list[LaneFigures], list[Alarm]]:
    async with stores(settings, must_exist=True) as opened:
        return await opened.spool.lanes(), await opened.spool.alarms()


@app.command("list")
def list_command(
    context: typer.Context,
    domain: Domain = "",
    tenant: Tenant = "",
    sender: Sender = "",
    recipient: To = "",
    older_than: OlderThan = "",
    message: MessageId = "",
    limit: Annotated[int, typer.Option(min=1, max=_COUNTED, help="How many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """List unfinished deliveries, oldest first."""
    where = make_filter((domain, tenant, sender, recipient), older_than, message, limit)
    found = run_async(_read_deliveries(load(context), where))
    now = _now()
    rows: list[dict[str, object]] = [
        {
            "message": item.message,
            "delivery": f"{item.message}.{item.n}",
            "recipient": item.recipient,
            "domain": item.domain,
            "state": item.state.label,
            "attempts": item.attempts,
            "due": item.due if as_json else until(item.due, now),
        }
        for item in found
    ]
    print_rows(rows, ("delivery", "recipient", "state", "attempts", "due"), as_json=as_json, empty="nothing matches")


async def _read_deliveries(settings: Settings, where: QueueFilter) -> list[DeliveryView]:
    async with stores(settings, must_exist=True) as opened:
        return await opened.spool.deliveries(where)


@app.command("retry")
def retry_command(
    context: typer.Context,
    domain: Domain = "",
    tenant: Tenant = "",
    sender: Sender = "",
    recipient: To = "",
    older_than: OlderThan = "",
    message: MessageId = "",
    every: Annotated[bool, typer.Option("--all", help="Every delivery that waits or is held.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make waiting and held deliveries due now; says how many before it does."""
    if not any((domain, tenant, sender, recipient, older_than, message, every)):
        raise UsageError("say which deliveries, by a filter (--domain, --tenant, --id …) or by --all")
    where = make_filter((domain, tenant, sender, recipient), older_than, message, _COUNTED)
    settings = load(context)
    count = run_async(_count_idle(settings, where))
    if not count:
        changed = 0
    else:
        confirm(f"{_deliveries(count)} would be due now. Go on?", yes=yes)
        changed = run_async(_retry(settings, where))
    if as_json:
        say_json({"matched": count, "changed": changed})
    else:
        say(f"due now: {_deliveries(changed)}" if count else "nothing matches")


def _deliveries(count: int) -> str:
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"


async def _count_idle(settings: Settings, where: QueueFilter) -> int:
    from dataclasses import replace

    from relay.policy.state import State

    async with stores(settings, must_exist=True) as opened:
        return len(await opened.spool.deliveries(replace(where, states=(State.WAITING, State.HELD))))


async def _retry(settings: Settings, where: QueueFilter) -> int:
    async with stores(settings, must_exist=True) as opened:
        return await opened.spool.retry(where, "leak queue retry")


def make_filter(names: tuple[str, str, str, str], older_than: str, message: str, limit: int) -> QueueFilter:
    """The filter of a queue command; `names` are domain, tenant, sender and recipient. UsageError for nonsense."""
    from relay.ids import SpoolId, is_spool_id
    from relay.spool.contract import QueueFilter
    from relay.units import parse_duration

    domain, tenant, sender, recipient = names
    bare = message.partition(".")[0].lower()
    if message and not is_spool_id(bare):
        raise UsageError(f"{message!r} is not a message's id; it has 26 letters and digits, as `leak queue list` shows")
    try:
        since = _now() - parse_duration(older_than) if older_than else None
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--older-than: {error}") from None
    return QueueFilter(
        domain=_a_label(domain),
        tenant=tenant,
        sender=sender,
        recipient=recipient,
        message=SpoolId(bare) if message else None,
        older_than=since,
        limit=limit,
    )


def _a_label(domain: str) -> str:
    from relay.mail.address import AddressError, parse_domain

    if not domain or domain.startswith("["):
        return domain
    try:
        return parse_domain(domain, require_fqdn=False)
    except AddressError as error:
        raise UsageError(f"--domain {domain!r}: {error}") from None


def _now() -> datetime:
    from relay.clock import SystemClock

    return SystemClock().now()
