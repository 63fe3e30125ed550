"""`leak queue`: what waits, by lane and by delivery; what can be asked of it is in `queue_control`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import print_rows, say, say_json, say_table
from relay.cli.queue_control import register
from relay.cli.queue_filter import Domain, MessageId, OlderThan, Sender, Site, Tenant, To, make_filter, now
from relay.cli.warm_up import plain, warm_up
from relay.wording import ago, until

if TYPE_CHECKING:
    from relay.admin.standing import Standing
    from relay.settings import Settings
    from relay.spool.inquiry import DeliveryView, LaneFigures, QueueFilter

app = typer.Typer(help="What waits for delivery; summary by tenant and domain without a further word.")

_LISTED = 100_000


@app.callback(invoke_without_command=True)
def summary(context: typer.Context, as_json: Json = False) -> None:
    """Waiting, leased and held deliveries by tenant and domain, the oldest and the next due, suspensions and alarms."""
    if context.invoked_subcommand is not None:
        return
    lanes, standing = run_async(_read_summary(load(context)))
    if as_json:
        say_json(
            {
                "lanes": [asdict(lane) for lane in lanes],
                "suspensions": [asdict(one) for one in standing.suspensions],
                "alarms": [asdict(alarm) for alarm in standing.alarms],
                "brakes": [asdict(one) for one in standing.brakes],
                "paths": [asdict(one) for one in standing.notes],
                "warm_ups": [plain(one) for one in standing.warm_ups if one.waits_until],
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
    for line in (*standing.rests(), *standing.paces(), *standing.alarming()):
        say(line)


async def _read_summary(settings: Settings) -> tuple[list[LaneFigures], Standing]:
    from relay.admin.standing import read_standing

    async with stores(settings, must_exist=True) as opened:
        return await opened.spool.lanes(), await read_standing(opened)


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
