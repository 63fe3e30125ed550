"""The queue over HTTP: what of the caller's is not finished, by domain."""

from __future__ import annotations

from aiohttp import web

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.models import LaneSummary, QueueSummary
from relay.api.operation import Operation, json_answer
from relay.api.problem import Problem


class Queue:
    """The operations on the queue."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._spool = dependencies.spool

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        return (
            Operation(
                "getQueue",
                "GET",
                "/api/v1/queue",
                "The caller's unfinished deliveries, by domain.",
                QueueSummary,
                (401, 429, 503),
                keyed=self.get,
            ),
        )

    async def get(self, _request: web.Request, identity: Identity) -> web.Response | Problem:
        """The summary; other tenants' lanes are left out (S49)."""
        lanes = [
            LaneSummary(
                domain=lane.domain,
                waiting=lane.waiting,
                leased=lane.leased,
                held=lane.held,
                oldest=lane.oldest,
                next_due=lane.next_due,
            )
            for lane in await self._spool.lanes()
            if lane.tenant == identity.tenant_name
        ]
        summary = QueueSummary(
            waiting=sum(lane.waiting for lane in lanes),
            leased=sum(lane.leased for lane in lanes),
            held=sum(lane.held for lane in lanes),
            lanes=lanes,
        )
        return json_answer(summary)
