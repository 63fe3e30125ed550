"""Admission: what the warm-ups of young sources leave for today, and when a letter that came now would leave.

Beside the path of mail: it counts nothing. Asked by customers who keep their letters until there is room.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from relay.clock import Clock
from relay.engine.shaper import Shaper
from relay.engine.ways import Ways
from relay.policy.outcome import Outcome
from relay.policy.pool import Pool
from relay.policy.route import Plan
from relay.policy.way import EgressPath
from relay.resolver.routing import Router
from relay.shaping.contract import Question, WarmUpKey
from relay.shaping.warm_ups import WarmUpBook


@dataclass(frozen=True, slots=True)
class Room:
    """Letters that may still leave today, None without a ceiling; `departs`: when the next one may, None = at once."""

    remaining: int | None
    departs: datetime | None = None
    provider: str = ""
    """Whose ceilings they are; whom the mail would go to, without a ceiling. "" if that is not known."""
    ceiling: int = 0
    """How many may leave on a whole day, as today's ceilings are; 0 where that is not asked."""


NO_CEILING: Final = Room(None)

PLAN_KEPT: Final = 10.0
"""Seconds for which the way to a domain is taken as it was, for this question alone: whose ceilings they are."""
_MOST_PLANS: Final = 1000
_PLAN_TIMEOUT: Final = 3.0
"""Seconds until a domain whose DNS is slow has no ceiling here: its letters then wait in the spool."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose mail it is: what chooses pool and warm-up."""

    tenant: int
    stream: str
    sign_as: str


class Admissions:
    """Asks the book of warm-ups; without one, or with a warm source in the pool, there is no ceiling."""

    def __init__(self, book: WarmUpBook | None, router: Router, ways: Ways, shaper: Shaper, clock: Clock) -> None:
        self._book = book
        self._router = router
        self._ways = ways
        self._shaper = shaper
        self._clock = clock
        self._plans: OrderedDict[str, tuple[float, Plan | Outcome]] = OrderedDict()

    async def room_for(self, sender: Sender, domain: str) -> Room:
        """What a letter to this domain would find. Raises SpoolUnavailableError."""
        pool = self._ways.pools.pool(domain, sender.stream, sender.tenant)
        try:
            async with asyncio.timeout(_PLAN_TIMEOUT):
                plan = await self._plan(domain)
        except TimeoutError:
            return NO_CEILING
        if isinstance(plan, Outcome):
            return NO_CEILING
        rooms: list[Room] = []
        provider = plan.site
        for member in pool.members:
            shaping = self._shaper.shaping(EgressPath(plan.site, member.source.name), plan, domain)
            provider = shaping.provider or plan.site
            if self._book is None or _is_warm(pool):
                return Room(None, None, provider)
            version = 6 if ":" in member.source.address else 4
            key = WarmUpKey(sender.sign_as, member.source.name, version, provider)
            question = Question(key, 1, promised=False, rules=shaping.warm_up, begins=member.source.warms_since or 0)
            forecast = await self._book.forecast(question)
            rooms.append(Room(forecast.remaining, forecast.departs, ceiling=forecast.ceiling))
        if any(room.remaining is None for room in rooms):
            return Room(None, None, provider)
        waits = [room.departs for room in rooms if room.departs is not None]
        departs = min(waits) if len(waits) == len(rooms) else None
        ceiling = sum(room.ceiling for room in rooms)
        return Room(sum(room.remaining or 0 for room in rooms), departs, provider, ceiling)

    async def _plan(self, domain: str) -> Plan | Outcome:
        """The way to `domain`, as it was at most `PLAN_KEPT` ago: a letter is asked about three times and sent once."""
        now = self._clock.monotonic()
        known = self._plans.get(domain)
        if known is not None and now < known[0]:
            return known[1]
        plan = await self._router.plan(domain)
        self._plans[domain] = (now + PLAN_KEPT, plan)
        self._plans.move_to_end(domain)
        if len(self._plans) > _MOST_PLANS:
            self._plans.popitem(last=False)
        return plan

    async def room_today(self, sender: Sender) -> Room:
        """What is left of today's ceilings of all providers that such mail went to; the first one's before it did.

        A provider that none went to yet has room of its own beyond that. Raises SpoolUnavailableError.
        """
        pool = self._ways.pools.pool("", sender.stream, sender.tenant)
        if self._book is None or _is_warm(pool):
            return NO_CEILING
        names = {member.source.name for member in pool.members}
        views = [
            one for one in await self._book.views() if one.key.source in names and one.key.domain == sender.sign_as
        ]
        if not views:
            return Room(self._shaper.book.warm_up.ceilings[0])
        return Room(sum(max(0, one.ceiling - one.used) for one in views if one.ceiling is not None))


def _is_warm(pool: Pool) -> bool:
    return any(member.source.warms_since is None for member in pool.members)
