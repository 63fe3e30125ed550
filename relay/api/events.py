"""Events over HTTP: everything that happened to the caller's mail, each fact once, in the order of the commits.

Whoever keeps the cursor of his last page and goes on from there misses nothing, whatever stops on either side.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WithJsonSchema

from relay.account.identity import Identity
from relay.api.dependencies import ApiDependencies
from relay.api.operation import Operation, json_answer
from relay.api.problem import Problem
from relay.api.query import Query, read_query
from relay.event import EventKind
from relay.event.feed import BEGINNING, EventFilter, EventPage, Position, event_document, parse_cursor

MOST: Final = 1000
"""Events in one answer."""
LONGEST_WAIT: Final = 30.0
"""Seconds a request may wait for something to happen."""
WAITING: Final = 100
"""Requests of a worker that may wait at once; others are answered at once."""
LOOK_SECONDS: Final = 1.0
"""How often a waiting request looks."""

LATEST: Final = "latest"
_LABELS: Final = {kind.label: kind for kind in EventKind}


def _kinds(value: object) -> object:
    """A list, or the comma-separated text of a query."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        raise ValueError("write kinds of events")
    if unknown := [name for name in names if name not in _LABELS]:
        raise ValueError(f"there is no kind {str(unknown[0])[:40]!r}; there are {', '.join(_LABELS)}")
    return tuple(dict.fromkeys(names))


Kinds = Annotated[
    tuple[str, ...],
    BeforeValidator(_kinds),
    WithJsonSchema({"type": "array", "items": {"type": "string", "enum": list(_LABELS)}}),
]
"""Kinds of events by their labels."""


def kinds_of(labels: tuple[str, ...]) -> frozenset[EventKind]:
    """The kinds with these labels."""
    return frozenset(_LABELS[label] for label in labels)


def _cursor(value: str) -> str:
    if value != LATEST:
        parse_cursor(value)
    return value


CursorText = Annotated[str, AfterValidator(_cursor)]


class EventsQuery(Query):
    """Which page of events is wanted."""

    after: CursorText | None = Field(None, description='A cursor; none: from the beginning; "latest": from now on.')
    limit: int = Field(100, ge=1, le=MOST, description="Events in the answer at most.")
    kinds: Kinds = Field((), description="Only these kinds, separated by commas.")
    wait: float = Field(0, ge=0, le=LONGEST_WAIT, description="Seconds to wait when there is nothing yet.")


class EventTold(BaseModel):
    """One fact. `delivery_id` and `address` are null when it concerns the whole message, `address` once erased."""

    id: str = Field(description="The same each time the event is told.")
    cursor: str
    at: datetime
    kind: str
    message_id: str
    delivery_id: str | None
    address: str | None
    stream: str
    tags: list[str]
    metadata: dict[str, str]
    detail: dict[str, Any] = Field(description="What the kind has to say; a final event carries the last attempt.")


class EventsAnswer(BaseModel):
    """A page of events."""

    events: list[EventTold]
    cursor: str = Field(description="Where to go on with `after`.")
    more: bool = Field(description="Whether to go on at once.")


class Events:
    """The operation on events."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._spool = dependencies.spool
        self._waiting = 0

    def operations(self) -> tuple[Operation, ...]:
        """What this part adds to the API."""
        return (
            Operation(
                "getEvents",
                "GET",
                "/api/v1/events",
                "Everything that happened to the caller's mail, each event once, in order.",
                EventsAnswer,
                (401, 422, 429, 503),
                keyed=self.get,
                query=EventsQuery,
            ),
        )

    async def get(self, request: web.Request, identity: Identity) -> web.Response | Problem:
        """A page of the caller's events."""
        query = read_query(request, EventsQuery)
        if isinstance(query, Problem):
            return query
        after = await self._position(query.after)
        where = EventFilter(after, query.limit, identity.tenant, kinds_of(query.kinds))
        page = await self._spool.events(where)
        if not page.events and query.wait and self._waiting < WAITING:
            page = await self._wait(where, page, query.wait)
        return _answer(page)

    async def _position(self, after: str | None) -> Position:
        if after is None:
            return BEGINNING
        return await self._spool.last_event() if after == LATEST else parse_cursor(after)

    async def _wait(self, where: EventFilter, page: EventPage, seconds: float) -> EventPage:
        """Look again until there is something or the time is over."""
        until = asyncio.get_running_loop().time() + seconds
        self._waiting += 1
        try:
            while not page.events and (left := until - asyncio.get_running_loop().time()) > 0:
                if not page.more:
                    await asyncio.sleep(min(LOOK_SECONDS, left))
                page = await self._spool.events(replace(where, after=page.cursor))
        finally:
            self._waiting -= 1
        return page


def _answer(page: EventPage) -> web.Response:
    told = [EventTold(**event_document(event)) for event in page.events]
    return json_answer(EventsAnswer(events=told, cursor=str(page.cursor), more=page.more), HTTPStatus.OK)
