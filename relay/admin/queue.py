"""The page Queue: what waits, by provider, site or domain and by age; and what of one domain comes next, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from relay.admin.asking import asked, domain_of
from relay.admin.depth import VIEWS, drawn
from relay.admin.frame import Frame
from relay.admin.standing import read_obstacles, read_standing, why_braked
from relay.ids import SpoolId
from relay.policy.lessons import OTHER
from relay.policy.state import State
from relay.spool.explaining import ceilings_of, last_words, waiting
from relay.spool.inquiry import DeliveryView, MessageView
from relay.spool.shape import AGES, LaneShape, next_of_domain
from relay.units import format_duration

MOST_ROWS: Final = 100
MOST_DELIVERIES: Final = 25
WAYS: Final = {"provider": "by provider", "site": "by site", "domain": "by domain"}
"""What lanes can be put together by."""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """Lanes put together. `inside` leads to what they are made of."""

    name: str
    waiting: int
    leased: int
    held: int
    ages: tuple[int, ...]
    oldest: datetime | None
    next_due: datetime | None
    inside: str


@dataclass(frozen=True, slots=True)
class Next:
    """A delivery that is not finished, and why it has not left."""

    delivery: DeliveryView
    why: str


class QueuePages:
    """GET /admin/queue and /admin/queue/domain."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._records = frame.records

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The queue by age; `by` says how lanes are put together, `provider` and `site` restrict them."""
        now = self._parts.clock.now()
        by = asked(request, "by")
        by = by if by in WAYS else "provider"
        wanted = {name: value for name in ("provider", "site") if (value := asked(request, name))}
        view = next((one for one in VIEWS if one.name == asked(request, "back")), VIEWS[0])
        lanes = [lane for lane in await self._records.shape.get() if self._is_wanted(lane, wanted)]
        rows = put_together(lanes, self._names(by), lambda name: _inside(by, name, wanted))
        values = {
            "by": by,
            "ways": WAYS,
            "wanted": wanted,
            "further": urlencode(wanted),
            "ages": age_names(),
            "rows": rows[:MOST_ROWS],
            "more": len(rows) - MOST_ROWS,
            "total": put_together(lanes, lambda _: "all", lambda _: ""),
            "standing": await read_standing(self._records),
            "views": VIEWS,
            "depth": drawn(view, await self._records.figures.depths(view.span, now - view.reach), now),
        }
        return self._frame.page(request, "queue", "queue.html", values)

    async def domain(self, request: web.Request) -> web.StreamResponse:
        """What of one domain comes next, and what of it is held."""
        now = self._parts.clock.now()
        domain = domain_of(asked(request, "domain"))
        if not domain:
            raise web.HTTPNotFound
        ways = {state: await self._next(domain, state, now) for state in (State.WAITING, State.HELD)}
        values = {
            "domain": domain,
            "lanes": [lane for lane in await self._records.shape.get() if lane.domain == domain],
            "waiting": ways[State.WAITING],
            "held": ways[State.HELD],
            "most": MOST_DELIVERIES,
        }
        return self._frame.page(request, "queue", "domain.html", values)

    async def _next(self, domain: str, state: State, now: datetime) -> list[Next]:
        found = await next_of_domain(self._parts.database, domain, state, MOST_DELIVERIES)
        views: dict[SpoolId, MessageView | None] = {}
        for one in found:
            if one.message not in views:
                views[one.message] = await self._records.spool.message(one.message)
        known = {message: view for message, view in views.items() if view is not None}
        obstacles = await read_obstacles(self._records, set().union(*(ceilings_of(view) for view in known.values())))
        brakes = await self._records.figures.brakes()
        rows: list[Next] = []
        for one in found:
            if (view := known.get(one.message)) is None:
                continue
            if state is State.HELD:
                why = last_words(view, one) or "it is held"
            else:
                why = waiting(view, one, now, obstacles).sentence
                brake = why_braked(view, brakes)
                why = f"{why}; and because {brake}" if brake else why
            rows.append(Next(one, why))
        return rows

    def _provider(self, lane: LaneShape) -> str:
        return self._parts.provider_of(lane.site.partition("+")[0], lane.domain) or OTHER

    def _names(self, by: str) -> Callable[[LaneShape], str]:
        match by:
            case "site":
                return lambda lane: lane.site or "(not looked up yet)"
            case "domain":
                return lambda lane: lane.domain
            case _:
                return self._provider

    def _is_wanted(self, lane: LaneShape, wanted: Mapping[str, str]) -> bool:
        return wanted.get("provider") in (None, self._provider(lane)) and wanted.get("site") in (
            None,
            lane.site or "(not looked up yet)",
        )


def put_together(
    lanes: Sequence[LaneShape], name_of: Callable[[LaneShape], str], inside: Callable[[str], str]
) -> list[QueueRow]:
    """The sums of lanes of one name, the longest first."""
    named: dict[str, list[LaneShape]] = {}
    for lane in lanes:
        named.setdefault(name_of(lane), []).append(lane)
    rows = [
        QueueRow(
            name,
            sum(lane.waiting for lane in ones),
            sum(lane.leased for lane in ones),
            sum(lane.held for lane in ones),
            tuple(sum(lane.ages[n] for lane in ones) for n in range(len(AGES) + 1)),
            min((lane.oldest for lane in ones if lane.oldest is not None), default=None),
            min((lane.next_due for lane in ones if lane.next_due is not None), default=None),
            inside(name),
        )
        for name, ones in named.items()
    ]
    return sorted(rows, key=lambda row: (-row.waiting - row.leased - row.held, row.name))


def age_names() -> list[str]:
    """The headings of the ages."""
    return [*(f"≤ {format_duration(age)}" for age in AGES), f"> {format_duration(AGES[-1])}"]


def _inside(by: str, name: str, wanted: Mapping[str, str]) -> str:
    match by:
        case "provider":
            return f"/admin/queue?{urlencode({**wanted, 'by': 'site', 'provider': name})}"
        case "site":
            return f"/admin/queue?{urlencode({**wanted, 'by': 'domain', 'site': name})}"
        case _:
            return f"/admin/queue/domain?{urlencode({'domain': name})}"
