"""`leak inbound reports`: what receivers report about our domains, and whether p=reject is due."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import print_rows, say, say_json

if TYPE_CHECKING:
    from relay.admin.heard import Heard
    from relay.policy.enforcement import Proposal
    from relay.settings import Settings


def reports_command(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=366, help="How far back.")] = 30,
    as_json: Json = False,
) -> None:
    """Show DMARC and TLS reports: aligned and unaligned mail by domain and source, failed TLS sessions by domain."""
    from relay.admin.heard import by_domain, by_source

    settings = load(context)
    heard = run_async(read_stored(settings, timedelta(days=days)))
    sources, sessions = by_source(heard), by_domain(heard)
    proposals = propose_all(settings, heard)
    if as_json:
        policies = [{"domain": name, "reject": one.reject, "why": one.why} for name, one in proposals.items()]
        left_out = {"unread": heard.unread, "not_ours": heard.not_ours, "beyond": heard.beyond}
        say_json({"dmarc": sources, "tls": sessions, "policies": policies, **left_out})
        return
    columns = ("domain", "source", "aligned", "unaligned", "reporters")
    print_rows(sources, columns, as_json=False, empty="no DMARC report came")
    if sessions:
        say("")
        print_rows(sessions, ("domain", "sessions", "failed", "reporters"), as_json=False, empty="")
    for name, one in proposals.items():
        say(f"{name}: {'publish p=reject: ' if one.reject else ''}{one.why}")
    if heard.unread:
        say(f"{heard.unread} reports could not be read")
    if heard.not_ours:
        say(f"{heard.not_ours} reports about no domain that we send from are left out")
    if heard.beyond:
        say(f"{heard.beyond} reports were beyond what is kept a day")


async def read_stored(settings: Settings, back: timedelta) -> Heard:
    """The stored reports that came within `back`. CommandError when there is no spool yet."""
    from relay.admin.heard import read_heard
    from relay.clock import SystemClock
    from relay.our_domains import ReportedDomains

    async with stores(settings, must_exist=True) as opened:
        clock = SystemClock()
        ours = await ReportedDomains(settings, opened.accounts, clock).get()
        return await read_heard(opened.database, clock.now() - back, ours)


def propose_all(settings: Settings, heard: Heard) -> dict[str, Proposal]:
    """For each signing domain, whether p=reject is due."""
    from relay.cli.dns_records import known_addresses
    from relay.clock import SystemClock
    from relay.policy.enforcement import propose

    ours, now = known_addresses(settings), SystemClock().now()
    return {
        entry.domain: propose([one for one in heard.dmarc if one.domain == entry.domain], ours, now)
        for entry in settings.signing.domain
    }
