"""`leak inbound reports`: what receivers report about our domains, and whether p=reject is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.context import Json, load, run_async, stores
from relay.cli.output import print_rows, say, say_json

if TYPE_CHECKING:
    from relay.policy.enforcement import Proposal
    from relay.report.aggregate_reading import DmarcReport, TlsReport
    from relay.settings import Settings


@dataclass(slots=True)
class Heard:
    """The reports that were read, and how many could not be."""

    dmarc: list[DmarcReport] = field(default_factory=list)
    tls: list[TlsReport] = field(default_factory=list)
    unread: int = 0


def reports_command(
    context: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=366, help="How far back.")] = 30,
    as_json: Json = False,
) -> None:
    """Show DMARC and TLS reports: aligned and unaligned mail by domain and source, failed TLS sessions by domain."""
    settings = load(context)
    heard = run_async(read_stored(settings, timedelta(days=days)))
    sources, sessions = by_source(heard), by_domain(heard)
    proposals = propose_all(settings, heard)
    if as_json:
        policies = [{"domain": name, "reject": one.reject, "why": one.why} for name, one in proposals.items()]
        say_json({"dmarc": sources, "tls": sessions, "policies": policies, "unread": heard.unread})
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


async def read_stored(settings: Settings, back: timedelta) -> Heard:
    """The stored reports that came within `back`. CommandError when there is no spool yet."""
    from relay.clock import SystemClock
    from relay.report.aggregate_reading import read_dmarc, read_tls
    from relay.spool.aggregate_reports import stored_reports

    heard = Heard()
    async with stores(settings, must_exist=True) as opened:
        async for stored in stored_reports(opened.database, SystemClock().now() - back):
            if stored.form == "dmarc":
                report = read_dmarc(stored.content)
                heard.dmarc += [report] if report is not None else []
                heard.unread += report is None
            else:
                tls = read_tls(stored.content)
                heard.tls += tls
                heard.unread += not tls
    return heard


def by_source(heard: Heard) -> list[Mapping[str, object]]:
    """A row a domain and source, most mail first within a domain."""
    counts: dict[tuple[str, str], tuple[int, int, set[str]]] = {}
    for report in heard.dmarc:
        for one in report.sources:
            aligned, unaligned, reporters = counts.get((report.domain, one.source), (0, 0, set()))
            counts[report.domain, one.source] = (
                aligned + one.aligned,
                unaligned + one.unaligned,
                reporters | {report.reporter},
            )
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1][0] - item[1][1], item[0][1]))
    return [
        {"domain": domain, "source": source, "aligned": good, "unaligned": bad, "reporters": len(who)}
        for (domain, source), (good, bad, who) in ordered
    ]


def by_domain(heard: Heard) -> list[Mapping[str, object]]:
    """TLS sessions toward each domain of ours."""
    domains = sorted({one.domain for one in heard.tls})
    return [
        {
            "domain": domain,
            "sessions": sum(one.sessions for one in heard.tls if one.domain == domain),
            "failed": sum(one.failed for one in heard.tls if one.domain == domain),
            "reporters": len({one.reporter for one in heard.tls if one.domain == domain}),
        }
        for domain in domains
    ]


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
