"""What receivers report about our domains, summed: DMARC by domain and source, TLS sessions by domain."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from relay.database.contract import Database
from relay.report.aggregate_reading import DmarcReport, TlsReport, read_dmarc, read_tls
from relay.spool.aggregate_reports import MAX_READ, stored_reports


@dataclass(slots=True)
class Heard:
    """The reports that were read, how many could not be, whether there are older ones, and how many were looked at."""

    dmarc: list[DmarcReport] = field(default_factory=list)
    tls: list[TlsReport] = field(default_factory=list)
    unread: int = 0
    cut: bool = False
    looked_at: int = 0


async def read_heard(
    database: Database, since: datetime, most: int = MAX_READ, seconds: float = math.inf, rows: float = math.inf
) -> Heard:
    """The stored reports that came since a moment: the newest `most` of them, or as many as `seconds` are enough for,
    or until they hold so many `rows`.

    Raises SpoolUnavailableError.
    """
    heard, count, held, loop = Heard(), 0, 0, asyncio.get_running_loop()
    end = loop.time() + seconds
    async for stored in stored_reports(database, since):
        if count == most or loop.time() > end or held >= rows:
            heard.cut = True
            break
        count += 1
        heard.looked_at = count
        # Ten megabytes of a stranger's XML take their time, and a node has other things to do meanwhile.
        if stored.form == "dmarc":
            report = await asyncio.to_thread(read_dmarc, stored.content)
            held += len(report.sources) if report is not None else 0
            heard.dmarc += [report] if report is not None else []
            heard.unread += report is None
        else:
            tls = await asyncio.to_thread(read_tls, stored.content)
            heard.tls += tls
            held += len(tls)
            heard.unread += not tls
    return heard


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
