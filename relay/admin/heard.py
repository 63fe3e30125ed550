"""What receivers report about our domains, summed: DMARC by domain and source, TLS sessions by domain.

What a report tells of a domain that is not ours is left out: strangers write reports, about whatever they invent.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from relay.database.contract import Database
from relay.report.aggregate_reading import DmarcReport, TlsReport, read_dmarc, read_tls
from relay.spool.aggregate_reports import MAX_READ, stored_reports
from relay.spool.report_shares import declined_reports


@dataclass(frozen=True, slots=True)
class Bounds:
    """When reading ends: after `most` reports, so many `seconds`, or as soon as so many `rows` are held."""

    most: int = MAX_READ
    seconds: float = math.inf
    rows: float = math.inf


UNBOUND: Final = Bounds()


@dataclass(slots=True)
class Heard:
    """The reports that were read, how many could not be, whether there are older ones, and how many were looked at."""

    dmarc: list[DmarcReport] = field(default_factory=list)
    tls: list[TlsReport] = field(default_factory=list)
    unread: int = 0
    not_ours: int = 0
    """Reports about no domain of ours."""
    beyond: int = 0
    """Reports that were not kept, since as many were kept that day as may be."""
    cut: bool = False
    looked_at: int = 0


async def read_heard(database: Database, since: datetime, ours: frozenset[str], bounds: Bounds = UNBOUND) -> Heard:
    """The stored reports about `ours` that came since a moment, the newest first. Raises SpoolUnavailableError."""
    declined = await declined_reports(database, since)
    heard = Heard(not_ours=declined.not_ours, beyond=declined.beyond)
    count, held, loop = 0, 0, asyncio.get_running_loop()
    end = loop.time() + bounds.seconds
    async for stored in stored_reports(database, since):
        if count == bounds.most or loop.time() > end or held >= bounds.rows:
            heard.cut = True
            break
        count += 1
        heard.looked_at = count
        # Ten megabytes of a stranger's XML take their time, and a node has other things to do meanwhile.
        if stored.form == "dmarc":
            report = await asyncio.to_thread(read_dmarc, stored.content)
            named = [] if report is None else [report]
            about_us = [one for one in named if one.domain in ours]
            heard.dmarc += about_us
            held += sum(len(one.sources) for one in about_us)
            heard.not_ours += bool(named) and not about_us
            heard.unread += not named
        else:
            sessions = await asyncio.to_thread(read_tls, stored.content)
            toward_us = [one for one in sessions if one.domain in ours]
            heard.tls += toward_us
            held += len(toward_us)
            heard.not_ours += bool(sessions) and not toward_us
            heard.unread += not sessions
    return heard


@dataclass(frozen=True, slots=True)
class Folded:
    """Rows of a list of sources that are shown, and what the others come to."""

    rows: Sequence[Mapping[str, object]]
    sources: int
    domains: int
    """Domains of which no row is shown."""


def folded(rows: Sequence[Mapping[str, object]], most: int, least_each: int) -> Folded:
    """At most `most` rows of `by_source`, each domain's own share of them: one cannot crowd out another."""
    domains = dict.fromkeys(str(row["domain"]) for row in rows)
    share = max(least_each, most // max(1, len(domains)))
    shown: list[Mapping[str, object]] = []
    counts: dict[str, int] = {}
    for row in rows:
        domain = str(row["domain"])
        counts[domain] = counts.get(domain, 0) + 1
        if counts[domain] <= share and len(shown) < most:
            shown.append(row)
    left_out = len(domains) - len({str(row["domain"]) for row in shown})
    return Folded(shown, len(rows) - len(shown), left_out)


def by_source(heard: Heard) -> list[Mapping[str, object]]:
    """A row a domain and source, most mail first within a domain."""
    counts: dict[tuple[str, str], tuple[int, int, set[str]]] = {}
    for report in heard.dmarc:
        for one in report.sources:
            aligned, unaligned, reporters = counts.get((report.domain, one.source), (0, 0, set()))
            reporters.add(report.reporter)
            counts[report.domain, one.source] = (aligned + one.aligned, unaligned + one.unaligned, reporters)
    ordered = sorted(counts.items(), key=lambda item: (item[0][0], -item[1][0] - item[1][1], item[0][1]))
    return [
        {"domain": domain, "source": source, "aligned": good, "unaligned": bad, "reporters": len(who)}
        for (domain, source), (good, bad, who) in ordered
    ]


def by_domain(heard: Heard) -> list[Mapping[str, object]]:
    """TLS sessions toward each domain of ours."""
    counts: dict[str, tuple[int, int, set[str]]] = {}
    for one in heard.tls:  # once: a stranger's report may name fifty thousand domains
        sessions, failed, reporters = counts.get(one.domain, (0, 0, set()))
        reporters.add(one.reporter)
        counts[one.domain] = (sessions + one.sessions, failed + one.failed, reporters)
    return [
        {"domain": domain, "sessions": sessions, "failed": failed, "reporters": len(reporters)}
        for domain, (sessions, failed, reporters) in sorted(counts.items())
    ]
