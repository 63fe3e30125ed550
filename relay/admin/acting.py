"""What an operator can do on the pages: retry, hold and release deliveries, suspend a domain, end a suspension.

Each is asked on one page, with what it would change, and done by a form of this session with a reason. Who did it
stands beside the reason, in the events of the messages and in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from aiohttp import web

from relay.admin.asking import domain_of, trimmed
from relay.admin.frame import Frame
from relay.admin.standing import suspended
from relay.ids import SpoolId, is_spool_id
from relay.log import Log
from relay.pages.keeper import ENTERED, read_proven
from relay.spool.control import concerned
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Suspension, Verb
from relay.wording import deliveries

MOST: Final = 10_000
"""Deliveries that a page changes at once; for more, the command is patient enough."""

SPANS: Final = {
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
}
_WINDOW: Final = timedelta(0)
"""Of these verbs none becomes final later."""

_LONGEST_REASON: Final = 500

_log = Log("admin")


class Deed(StrEnum):
    """What can be asked for."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    SUSPEND = "suspend"
    RESUME = "resume"


_VERBS: Final = {Deed.RETRY: Verb.RETRY, Deed.HOLD: Verb.HOLD, Deed.RELEASE: Verb.RELEASE}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for, and of what: a domain's mail, a message's, or a suspension by its number."""

    deed: Deed
    domain: str = ""
    message: SpoolId | None = None
    suspension: int = 0

    @property
    def fields(self) -> dict[str, str]:
        """The wish as fields of a form, those that say something."""
        told = {"deed": self.deed.value, "domain": self.domain, "message": self.message or ""}
        return {name: value for name, value in told.items() if value} | (
            {"suspension": str(self.suspension)} if self.suspension else {}
        )

    @property
    def filter(self) -> QueueFilter:
        """The deliveries that are meant."""
        return QueueFilter(domain=self.domain, message=self.message)

    @property
    def whose(self) -> str:
        """The deliveries that are meant, in words."""
        if self.suspension:
            return f"suspension {self.suspension}"
        return f"of message {self.message}" if self.message else f"to {self.domain}"

    @property
    def back(self) -> str:
        """The page that the wish came from."""
        if self.message:
            return f"/admin/message/{self.message}"
        return f"/admin/queue/domain?{urlencode({'domain': self.domain})}" if self.domain else "/admin/queue"


def read_wish(fields: Mapping[str, str]) -> Wish | None:
    """The wish that fields tell; None for what cannot be asked for."""
    if fields.get("deed") not in set(Deed):
        return None
    deed, domain, message = Deed(fields["deed"]), domain_of(fields.get("domain", "")), fields.get("message", "")
    number = fields.get("suspension", "")
    if deed is Deed.RESUME:
        known = number.isascii() and number.isdecimal() and len(number) < 16
        return Wish(deed, suspension=int(number)) if known else None
    if deed is Deed.SUSPEND:
        return Wish(deed, domain) if domain else None
    if message:
        return Wish(deed, message=SpoolId(message)) if is_spool_id(message) else None
    return Wish(deed, domain) if domain else None


class ActPages:
    """GET and POST /admin/act."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._parts = frame.parts
        self._records = frame.records

    async def preview(self, request: web.Request) -> web.StreamResponse:
        """What would be done, and the form that does it."""
        wish = read_wish(request.query)
        if wish is None:
            raise web.HTTPNotFound
        return await self._form(request, wish)

    async def act(self, request: web.Request) -> web.StreamResponse:
        """POST: do it. Raises ForeignFormError for a form of another session."""
        fields = await read_proven(request)
        wish = read_wish(fields)
        if wish is None:
            raise web.HTTPNotFound
        reason = trimmed(fields.get("reason", ""), _LONGEST_REASON)
        if wish.deed is not Deed.RESUME and not reason:
            return await self._form(request, wish, "Say why: it is kept with what you do.")
        name = request[ENTERED].name
        done = await self._do(wish, f"{reason} (by {name})", SPANS.get(fields.get("span", ""), SPANS["1h"]))
        if done is None:
            return await self._form(request, wish, refused=True)
        _log.info("admin-acted", by=name, deed=wish.deed, of=wish.whose, did=done)
        values = {"wish": wish, "said": done}
        return self._frame.page(request, "queue", "done.html", values)

    async def _do(self, wish: Wish, reason: str, span: timedelta) -> str | None:
        """What was done, in words; None when nothing was, for the form says why."""
        spool = self._parts.spool
        if wish.deed is Deed.RESUME:
            return (
                "resumed: mail that waits for it goes on when it is due"
                if await spool.resume(wish.suspension)
                else None
            )
        if wish.deed is Deed.SUSPEND:
            until = self._parts.clock.now() + span
            number = await spool.suspend(Suspension(0, "", wish.domain, "", until, reason))
            return f"suspended ({number}) until {until:%Y-%m-%d %H:%M:%S} UTC; to end it: leak queue resume {number}"
        if not 0 < await self._count(wish) <= MOST:
            return None
        receipt = await spool.ask(_VERBS[wish.deed], wish.filter, reason, _WINDOW)
        said = f"{wish.deed}: {deliveries(receipt.changed)}"
        if receipt.under_way:
            said += f"; {deliveries(receipt.under_way)} under way: what their attempt gives comes first"
        return said if receipt.id is None else f"{said}; to take it back: leak queue undo {receipt.id}"

    async def _count(self, wish: Wish) -> int:
        states = concerned(_VERBS[wish.deed], wish.filter)
        return await self._records.spool.count(replace(wish.filter, states=states))

    async def _form(
        self, request: web.Request, wish: Wish, problem: str = "", *, refused: bool = False
    ) -> web.StreamResponse:
        possible = True
        if wish.deed is Deed.RESUME:
            standing = {one.id: one for one in await self._records.spool.suspensions()}
            possible = wish.suspension in standing
            told = suspended(standing[wish.suspension]) if possible else f"suspension {wish.suspension} has ended"
        elif wish.deed is Deed.SUSPEND:
            told = f"No mail to {wish.domain} would be taken from the queue. What is under way finishes its attempt."
        else:
            count = await self._count(wish)
            possible = 0 < count <= MOST
            verb = _VERBS[wish.deed]
            told = f"{deliveries(count)} {wish.whose} {verb.would}." if count else "nothing matches"
            if count > MOST:
                told += f" That is too much for a page: leak queue {verb} --domain {wish.domain}"
        values = {"wish": wish, "told": told, "possible": possible, "problem": problem, "spans": list(SPANS)}
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem or refused else HTTPStatus.OK
        return self._frame.page(request, "queue", "act.html", values, status)
