"""The page Messages: messages of all tenants by recipient, sender, tag and state; and one message's whole life."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import groupby, islice
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from relay.admin.asking import asked
from relay.admin.frame import Frame
from relay.admin.life import Chapter, Step, chapters
from relay.admin.standing import read_obstacles, why_braked
from relay.ids import SpoolId, is_spool_id
from relay.policy.state import State
from relay.spool.explaining import ceilings_of
from relay.spool.inquiry import MessageFilter, SearchPage

MOST_FOUND: Final = 50
MOST_DELIVERIES: Final = 200
_STATES: Final = {state.label: state for state in State}
_CURSOR: Final = re.compile(r"[0-9a-f]{1,15}")
_FIELDS: Final = ("recipient", "sender", "tag", "tenant", "state")


@dataclass(frozen=True, slots=True)
class Told:
    """A chapter of a life, its steps of one name in a row put together."""

    title: str
    steps: Sequence[tuple[str, Sequence[str]]]


class MessagePages:
    """GET /admin/messages and /admin/message/ID."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._records = frame.records

    async def search(self, request: web.Request) -> web.StreamResponse:
        """The form, and what was found; an id leads to its message."""
        fields = {name: asked(request, name) for name in _FIELDS}
        values: dict[str, Any] = {
            "fields": fields,
            "states": list(_STATES),
            "tenants": sorted(tenants := await self._records.figures.tenants()),
            "problem": "",
            "found": None,
            "further": "",
        }
        if wanted := asked(request, "id"):
            bare = wanted.lower().partition(".")[0]
            if is_spool_id(bare):
                return self._frame.redirect(f"/admin/message/{bare}")
            values["problem"] = (
                f"{wanted!r} is not a message's id; it has 26 letters and digits, as the reply to DATA told"
            )
        elif "recipient" in request.query:
            found = await self._find(fields, tenants, asked(request, "cursor"))
            values["found"] = found
            if found.cursor is not None:
                values["further"] = urlencode({**fields, "cursor": f"{found.cursor:x}"})
        return self._frame.page(request, "messages", "messages.html", values)

    async def _find(self, fields: dict[str, str], tenants: dict[str, int], cursor: str) -> SearchPage:
        return await self._records.spool.search(
            MessageFilter(
                tenants.get(fields["tenant"]),
                fields["recipient"],
                fields["sender"],
                fields["tag"],
                state=_STATES.get(fields["state"]),
                cursor=int(cursor, 16) if _CURSOR.fullmatch(cursor) else None,
                limit=MOST_FOUND,
            )
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        """A message's life, in the words of `leak message`."""
        now = self._parts.clock.now()
        bare = request.match_info["id"].lower().partition(".")[0]
        view = await self._records.spool.message(SpoolId(bare)) if is_spool_id(bare) else None
        values: dict[str, Any] = {"id": bare, "chapters": (), "deliveries": 0, "open": False, "most": MOST_DELIVERIES}
        if view is None:
            return self._frame.page(request, "messages", "message.html", values, HTTPStatus.NOT_FOUND)
        obstacles = await read_obstacles(self._records, ceilings_of(view))
        brake = why_braked(view, await self._records.figures.brakes())
        told = islice(chapters(view, now, obstacles, brake), 1 + MOST_DELIVERIES)
        values |= {
            "chapters": [_told(chapter) for chapter in told],
            "deliveries": len(view.deliveries),
            "open": any(not delivery.state.final for delivery in view.deliveries),
        }
        return self._frame.page(request, "messages", "message.html", values)


def _told(chapter: Chapter) -> Told:
    grouped = groupby(_named(chapter.steps), key=lambda step: step.name)
    return Told(chapter.title, [(name, [step.text for step in steps]) for name, steps in grouped])


def _named(steps: Sequence[Step]) -> Iterator[Step]:
    """Each step with a name: one without has that of the step before."""
    name = ""
    for step in steps:
        name = step.name or name
        yield Step(name, step.text)
