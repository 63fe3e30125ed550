"""The planner: asks the router where a domain's mail goes, once for all parcels that wait for the answer.

Stands between the window and the lines of the sites. Plans are used again for a few seconds; the spool is told the
site of a domain when that is news, so that an operator can name it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from relay.clock import Clock
from relay.engine.attempt import internal_failure
from relay.engine.owned import OwnedTasks
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.outcome import Outcome, Phase
from relay.policy.route import Plan
from relay.resolver.routing import Router
from relay.spool.contract import Spool
from relay.spool.work import Parcel

_log = Log("planner")

PLAN_SECONDS: Final = 5.0
"""How long a domain's plan is used without asking the router again."""

MAX_SITES: Final = 20_000
"""Domains whose site is remembered as told."""


class Planner:
    """`planned` is called with each parcel that was given to `ask`, and with its plan or why there is none."""

    def __init__(
        self,
        router: Router,
        spool: Spool,
        clock: Clock,
        tasks: OwnedTasks,
        planned: Callable[[Parcel, Plan | Outcome], None],
    ) -> None:
        self._router = router
        self._spool = spool
        self._clock = clock
        self._tasks = tasks
        self._planned = planned
        self._plans: dict[str, tuple[Plan, float]] = {}
        self._waiting: dict[str, list[Parcel]] = {}
        self._sites: dict[tuple[int, str], str] = {}

    def known(self, domain: str) -> Plan | None:
        """The domain's plan if it is fresh."""
        plan, until = self._plans.get(domain, (None, 0.0))
        return plan if until > self._clock.monotonic() else None

    def ask(self, domain: str, parcel: Parcel) -> None:
        """Have the parcel planned."""
        if domain in self._waiting:
            self._waiting[domain].append(parcel)
            return
        self._waiting[domain] = [parcel]
        self._tasks.start(self._plan(domain), f"plan-{domain}")

    def long_waits(self, bound: int) -> set[str]:
        """Domains for whose plan at least `bound` parcels wait."""
        return {domain for domain, parcels in self._waiting.items() if len(parcels) >= bound}

    def waiting(self, domain: str) -> int:
        """How many parcels wait for the domain's plan."""
        return len(self._waiting.get(domain, ()))

    def take_back(self) -> list[Parcel]:
        """Everybody who still waits, who is then no longer."""
        parcels = [parcel for waiting in self._waiting.values() for parcel in waiting]
        for waiting in self._waiting.values():
            waiting.clear()
        return parcels

    async def _plan(self, domain: str) -> None:
        plan: Plan | Outcome
        try:
            plan = await self._router.plan(domain)
        except asyncio.CancelledError:
            raise  # the parcels stay where `take_back` finds them
        except Exception:  # noqa: BLE001 - whatever broke, the parcels must not be forgotten
            _log.exception("plan-failed", domain=domain)
            plan = internal_failure(Phase.ROUTE, "the route could not be computed")
        parcels = self._waiting.pop(domain)
        if isinstance(plan, Plan):
            self._remember(domain, plan)
        for parcel in parcels:
            self._planned(parcel, plan)
        if isinstance(plan, Plan):
            await self._note_site({parcel.tenant for parcel in parcels}, domain, plan.site)

    def _remember(self, domain: str, plan: Plan) -> None:
        """Keep the plan, and drop the stale ones: they stand in the order in which they grow old."""
        now = self._clock.monotonic()
        self._plans.pop(domain, None)
        self._plans[domain] = (plan, now + PLAN_SECONDS)
        while (oldest := next(iter(self._plans))) and self._plans[oldest][1] <= now:
            del self._plans[oldest]

    async def _note_site(self, tenants: set[int], domain: str, site: str) -> None:
        """Let the spool know where the domain's mail goes, when that is news."""
        for tenant in tenants:
            if self._sites.get((tenant, domain)) == site:
                continue
            if len(self._sites) >= MAX_SITES:
                self._sites.clear()
            self._sites[tenant, domain] = site
            try:
                await self._spool.note_site(tenant, domain, site)
            except SpoolUnavailableError as error:
                _log.warning("site-not-noted", domain=domain, error=error)
