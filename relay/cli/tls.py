"""`leak tls`: per host, what TLS was demanded of it lately and what was had."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import UsageError, print_rows
from relay.cli.queue_filter import now
from relay.wording import ago

if TYPE_CHECKING:
    from datetime import datetime

    from relay.settings import Settings
    from relay.spool.tls_hosts import HostTls

_COLUMNS = ("host", "demanded", "by", "had", "certificate", "results", "last", "why")


def tls(
    context: typer.Context,
    host: Annotated[str, typer.Argument(help="Only hosts whose name ends so.")] = "",
    last: Annotated[str, typer.Option("--last", help='How far back, as in "24h" or "30d".')] = "7d",
    as_json: Json = False,
) -> None:
    """Per host: the TLS that was demanded, who demanded it, and what was had; from the newest 20,000 results."""
    from relay.units import parse_duration

    try:
        since = now() - parse_duration(last)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"--last: {error}") from None
    found = run_async(_read(load(context), host, since))
    rows = [asdict(one) if as_json else _row(one) for one in found]
    print_rows(rows, _COLUMNS, as_json=as_json, empty="no host was spoken to")


async def _read(settings: Settings, host: str, since: datetime) -> list[HostTls]:
    from relay.spool.tls_hosts import tls_by_host

    async with stores(settings, must_exist=True) as opened:
        return await tls_by_host(opened.database, since, host.lower().rstrip("."))


def _row(one: HostTls) -> dict[str, object]:
    return {
        "host": one.host,
        "demanded": one.demanded,
        "by": one.demanded_by,
        "had": one.had,
        "certificate": one.certificate,
        "results": one.count,
        "last": ago(one.last, now()),
        "why": one.error,
    }
