"""`leak report`: what happened to mail, from the figures that are kept for a year."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import UsageError, fail, say, say_json, say_table
from relay.cli.queue_filter import now

if TYPE_CHECKING:
    from relay.figures.contract import ReportRow
    from relay.settings import Settings

_COUNTED: Final = (
    "accepted",
    "delivered",
    "deferred",
    "bounced",
    "expired",
    "suppressed",
    "cancelled",
    "returned",
    "complained",
    "opted_out",
)
_LIMIT: Final = 100_000


def report(
    context: typer.Context,
    by: Annotated[
        str, typer.Option("--by", help="Rows by hour, day, tenant, stream, provider, or several: day,provider.")
    ] = "day",
    last: Annotated[str, typer.Option("--last", help='How far back, as in "24h" or "30d".')] = "7d",
    tenant: Annotated[str, typer.Option("--tenant", help="Mail of this tenant.")] = "",
    stream: Annotated[str | None, typer.Option("--stream", help="Mail of this stream.")] = None,
    provider: Annotated[str | None, typer.Option("--provider", help="Mail to this provider.")] = None,
    as_json: Json = False,
) -> None:
    """Messages accepted; deliveries, deferrals, bounces by reason, complaints and opt-outs, by time and place."""
    from relay.figures.contract import By
    from relay.units import parse_duration

    try:
        parts = tuple(By(word.strip()) for word in by.split(",") if word.strip())
    except ValueError:
        raise UsageError(f"--by: write {', '.join(By)}, or several with commas") from None
    try:
        since = now() - parse_duration(last)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--last: {error}") from None
    rows = run_async(_read(load(context), since, parts, tenant, (stream, provider)))
    if as_json:
        say_json([asdict(row) for row in rows])
        return
    form = "%Y-%m-%d %H:00" if By.HOUR in parts else "%Y-%m-%d"
    told = [word for word in _COUNTED if any(row.counts.get(word) for row in rows)]
    columns = [("at" if part in (By.HOUR, By.DAY) else part.value) for part in parts]
    columns = list(dict.fromkeys(columns))
    table = [
        [*(_cell(row, column, form) for column in columns), *(row.counts.get(word, 0) for word in told)] for row in rows
    ]
    say_table([*columns, *told], table, empty="nothing happened")
    _say_reasons(rows)


def _cell(row: ReportRow, column: str, form: str) -> str:
    if column == "at":
        return row.at.strftime(form) if row.at else ""
    return str(getattr(row, column) or "")


def _say_reasons(rows: list[ReportRow]) -> None:
    """Why, over all rows."""
    sums: dict[str, dict[str, int]] = {}
    for row in rows:
        for label, reasons in row.reasons.items():
            for reason, count in reasons.items():
                sums.setdefault(label, {})[reason] = sums.get(label, {}).get(reason, 0) + count
    for label in _COUNTED:
        if label in sums:
            told = sorted(sums[label].items(), key=lambda item: -item[1])
            say(f"{label}: " + ", ".join(f"{reason} {count}" for reason, count in told))


async def _read(
    settings: Settings,
    since: datetime,
    parts: tuple[object, ...],
    tenant: str,
    where: tuple[str | None, str | None],
) -> list[ReportRow]:
    from relay.figures.contract import By, ReportQuery

    async with stores(settings, must_exist=True) as opened:
        number = await opened.figures.tenant(tenant) if tenant else None
        if tenant and number is None:
            fail(f"there is no tenant {tenant!r}")
        chosen = tuple(part for part in parts if isinstance(part, By))
        until = now() + timedelta(hours=1)
        return await opened.figures.report(ReportQuery(since, until, chosen, number, *where, _LIMIT))
