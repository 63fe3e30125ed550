"""The page Reports: what receivers tell of our domains (DMARC, TLS), and with what TLS our mail left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from aiohttp import web

from relay.admin.frame import Frame
from relay.admin.heard import Bounds, Heard, by_domain, by_source, folded, read_heard
from relay.admin.remembered import Remembered
from relay.spool.tls_hosts import HostTls, tls_by_host

SPAN: Final = timedelta(days=30)
TLS_SPAN: Final = timedelta(days=7)
MOST_REPORTS: Final = 500
READING_SECONDS: Final = 10.0
"""How long reports are read for a page, at most."""

MOST_HELD: Final = 100_000
"""Rows of reports that are held in memory, or one more report's: strangers decide how many each has."""

MOST_ROWS: Final = 100
LEAST_EACH: Final = 5
"""Sources of each domain that are shown at least, as long as there are rows."""


class ReportsPage:
    """GET /admin/reports."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        database, clock = self._parts.database, self._parts.clock
        self._heard = Remembered(self._read, clock)
        self._hosts = Remembered(lambda: tls_by_host(database, clock.now() - TLS_SPAN), clock)

    async def _read(self) -> Heard:
        ours = await self._parts.reported()
        since = self._parts.clock.now() - SPAN
        return await read_heard(self._parts.database, since, ours, Bounds(MOST_REPORTS, READING_SECONDS, MOST_HELD))

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The page. Raises SpoolUnavailableError."""
        heard, hosts = await self._heard.get(), await self._hosts.get()
        values = {
            "heard": heard,
            **await asyncio.to_thread(_summed, heard),
            "hosts": sorted(hosts, key=weakest)[:MOST_ROWS],
            "encrypted": encrypted(hosts),
        }
        return self._frame.page(request, "reports", "reports.html", values)


def _summed(heard: Heard) -> dict[str, Any]:
    """What strangers reported, as rows; in a thread, for they may have reported a million."""
    return {
        "sources": folded(by_source(heard), MOST_ROWS, LEAST_EACH),
        "aligned": aligned(heard),
        "sessions": by_domain(heard)[:MOST_ROWS],
    }


def aligned(heard: Heard) -> float | None:
    """The part of the reported mail that passed DMARC; None where nothing was reported."""
    good = sum(one.aligned for report in heard.dmarc for one in report.sources)
    bad = sum(one.unaligned for report in heard.dmarc for one in report.sources)
    return good / (good + bad) if good + bad else None


def encrypted(hosts: Sequence[HostTls]) -> float | None:
    """The part of the results that came over TLS; None where there are none."""
    every = sum(one.count for one in hosts)
    return sum(one.count for one in hosts if one.protocol) / every if every else None


def weakest(one: HostTls) -> tuple[bool, bool, int, str]:
    """The order of hosts: what went wrong first, then what went in clear, then the most mail."""
    return not one.error, bool(one.protocol), -one.count, one.host
