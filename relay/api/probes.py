"""Probes: is the process alive, is the node ready for mail, and the metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from aiohttp import web

from relay import metrics
from relay.api.dependencies import Health
from relay.api.guard import Guard, is_direct_loopback
from relay.api.models import ProbeAnswer
from relay.api.operation import Operation, json_answer
from relay.api.problem import HEADERS, Problem, from_unavailable
from relay.errors import SpoolUnavailableError
from relay.spool.contract import Spool

_PING_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class ShownMetrics:
    """The folder in which workers share their metrics, None for one process; `guarded`: nobody sees them without a key.

    Visitors of an onion service come from this machine, with whatever header they like.
    """

    folder: str | None
    guarded: bool = False


class Probes:
    """The operations that monitors ask."""

    def __init__(self, spool: Spool, health: Health, shown: ShownMetrics, guard: Guard) -> None:
        self._spool = spool
        self._health = health
        self._shown = shown
        self._guard = guard

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        return (
            Operation("getHealth", "GET", "/healthz", "Alive.", ProbeAnswer, (), open=self.healthz),
            Operation(
                "getReadiness", "GET", "/readyz", "Ready to take mail.", ProbeAnswer, (503, 507), open=self.readyz
            ),
            Operation(
                "getMetrics",
                "GET",
                "/metrics",
                "Prometheus text over all workers; from this machine, or with a key.",
                "text/plain",
                (401, 429, 503),
                open=self.metrics,
            ),
        )

    async def healthz(self, _request: web.Request) -> web.Response | Problem:
        """The event loop turns."""
        return json_answer(ProbeAnswer(state="alive"))

    async def readyz(self, _request: web.Request) -> web.Response | Problem:
        """The node takes mail now; otherwise 503 or 507 with the reason."""
        for check in self._health:
            reason = check()
            if reason:
                return Problem(HTTPStatus.SERVICE_UNAVAILABLE, reason, retry_after=_RETRY_SECONDS)
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._spool.ping()
        except TimeoutError:
            return from_unavailable(SpoolUnavailableError("the ping took too long"))
        return json_answer(ProbeAnswer(state="ready"))

    async def metrics(self, request: web.Request) -> web.Response | Problem:
        """The metrics of all workers."""
        if self._shown.guarded or not is_direct_loopback(request):
            identity = await self._guard.identify(request)
            if isinstance(identity, Problem):
                return identity
        body = await asyncio.to_thread(metrics.exposition, self._shown.folder)
        return web.Response(body=body, headers={**HEADERS, "Content-Type": metrics.CONTENT_TYPE})
