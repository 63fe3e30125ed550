"""`leak queue`: what waits, by lane and by delivery; what can be asked of it is in `queue_control`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import ago, print_rows, say, say_json, say_table, until
from relay.cli.queue_control import register
from relay.cli.queue_filter import Domain, MessageId, OlderThan, Sender, Site, Tenant, To, make_filter, now
from relay.cli.warm_up import plain, waiting_lines, warm_up

if TYPE_CHECKING:
    from relay.figures.brakes import Brake
    from relay.settings import Settings
    from relay.shaping.contract import WarmUpView
    from relay.shaping.path_notes import PathNote
    from relay.spool.inquiry import DeliveryView, LaneFigures, QueueFilter
    from relay.spool.orders import Alarm, Suspension

app = typer.Typer(help="What waits for delivery; summary by tenant and domain without a further word.")

_LISTED = 100_000


@app.callback(invoke_without_command=True)
def summary(context: typer.Context, as_json: Json = False) -> None:
    """Waiting, leased and held deliveries by tenant and domain, the oldest and the next due, suspensions and alarms."""
    if context.invoked_subcommand is not None:
        return
    lanes, suspended, alarms, braked, warm_ups, notes = run_async(_read_summary(load(context)))
    if as_json:
        say_json(
            {
                "lanes": [asdict(lane) for lane in lanes],
                "suspensions": [asdict(one) for one in suspended],
                "alarms": [asdict(alarm) for alarm in alarms],
                "brakes": [asdict(one) for one in braked],
                "paths": [asdict(one) for one in notes],
                "warm_ups": [plain(one) for one in warm_ups if one.waits_until],
            }
        )
        return
    moment = now()
    rows = [
        (
            lane.domain,
            lane.tenant,
            lane.waiting,
            lane.leased,
            lane.held,
            ago(lane.oldest, moment),
            until(lane.next_due, moment),
            lane.site,
        )
        for lane in lanes
    ]
    columns = ("domain", "tenant", "waiting", "leased", "held", "oldest", "next due", "site")
    say_table(columns, rows, empty="nothing waits")
    for one in suspended:
        what = " ".join(
            filter(
                None, (one.site, one.source and f"from {one.source}", one.domain, one.tenant and f"tenant {one.tenant}")
            )
        )
        say(f"suspended ({one.id}) until {one.until:%Y-%m-%d %H:%M:%S}: {what}: {one.reason}")
    for note in notes:
        say(str(note))
    for line in waiting_lines(warm_ups):
        say(line)
    for brake in braked:
        how = f"leak queue resume --tenant {brake.tenant_name} --stream '{brake.stream}'"
        say(f"{brake.subject} {brake}; to end it: {how}")
    for alarm in alarms:
        say(f"alarm since {alarm.since:%Y-%m-%d %H:%M:%S}: {alarm.kind} {alarm.subject}: {alarm.detail}")


async def _read_summary(
    settings: Settings,
) -> tuple[list[LaneFigures], list[Suspension], list[Alarm], list[Brake], list[WarmUpView], list[PathNote]]:
    async with stores(settings, must_exist=True) as opened:
        spool = opened.spool
        return (
            await spool.lanes(),
            await spool.suspensions(),
            await spool.alarms(),
            await opened.figures.brakes(),
            await opened.warm_ups.views(),
            await opened.notes.all(),
        )


@app.command("list")
def list_command(
    context: typer.Context,
    domain: Domain = "",
    site: Site = "",
    tenant: Tenant = "",
    sender: Sender = "",
    recipient: To = "",
    older_than: OlderThan = "",
    message: MessageId = "",
    limit: Annotated[int, typer.Option(min=1, max=_LISTED, help="How many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """List unfinished deliveries, oldest first."""
    where = replace(make_filter((domain, tenant, sender, recipient), older_than, message, limit), site=site)
    found = run_async(_read_deliveries(load(context), where))
    moment = now()
    rows: list[dict[str, object]] = [
        {
            "message": item.message,
            "delivery": f"{item.message}.{item.n}",
            "recipient": item.recipient,
            "domain": item.domain,
            "state": item.state.label,
            "attempts": item.attempts,
            "due": item.due if as_json else until(item.due, moment),
        }
        for item in found
    ]
    print_rows(rows, ("delivery", "recipient", "state", "attempts", "due"), as_json=as_json, empty="nothing matches")


async def _read_deliveries(settings: Settings, where: QueueFilter) -> list[DeliveryView]:
    async with stores(settings, must_exist=True) as opened:
        return await opened.spool.deliveries(where)


app.command("warm-up")(warm_up)
register(app)
