"""users/ping, ping2, info and senders/domains: who calls, and from what he may send."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from relay.api.dependencies import ApiDependencies
from relay.api.mandrill.call import Call, Document, Handlers
from relay.api.mandrill.fault import Fault
from relay.api.mandrill.stats import SPANS, stats_by_span
from relay.figures.contract import By, ReportQuery

_ALL: Final = 400


class Users:
    """The calls about the caller."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._figures = dependencies.figures
        self._clock = dependencies.clock
        self._spool = dependencies.spool

    def calls(self) -> Handlers:
        """What this part adds to the door."""
        return {
            "users/ping": self.ping,
            "users/ping2": self.ping2,
            "users/info": self.info,
            "senders/domains": self.domains,
        }

    async def ping(self, _call: Call) -> Document | Fault:
        """A text."""
        return "PONG!"

    async def ping2(self, _call: Call) -> Document | Fault:
        """The same in an object."""
        return {"PING": "PONG!"}

    async def info(self, call: Call) -> Document | Fault:
        """The caller and its figures; there is no reputation score and no hourly quota here."""
        lanes = await self._spool.lanes()
        return {
            "username": call.identity.name,
            "created_at": None,
            "public_id": call.identity.tenant_name,
            "reputation": 100,
            "hourly_quota": 0,
            "backlog": sum(lane.waiting for lane in lanes if lane.tenant == call.identity.tenant_name),
            "stats": await self._stats(call.identity.tenant),
        }

    async def domains(self, call: Call) -> Document | Fault:
        """The domains that may be sent from; `leak dns --check` tells how they stand in DNS."""
        names = sorted({sender.rpartition("@")[2] for sender in call.identity.senders} - {"*"})
        return [{"domain": name, "created_at": None, "valid_signing": None} for name in names]

    async def _stats(self, tenant: int) -> Mapping[str, Any]:
        now = self._clock.now()
        until = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        rows = []
        if self._figures is not None:
            first = midnight - timedelta(days=_ALL)
            rows = await self._figures.report(ReportQuery(first, until, (By.DAY,), tenant))
        moments = [(row.at, row.counts) for row in rows if row.at is not None]
        return stats_by_span(moments, midnight, (*SPANS, ("all_time", _ALL + 1)))
