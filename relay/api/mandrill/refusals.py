"""rejects/*, allowlists/* and whitelists/*: standing refusals as Mandrill shows them, the caller's own alone (S49)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from relay.api.mandrill.call import Call, Document, Handlers, read, written
from relay.api.mandrill.documents import RefusalCall
from relay.api.mandrill.fault import Fault, invalid
from relay.api.mandrill.sending import REJECTED_FOR
from relay.clock import Clock
from relay.mail.address import Address, AddressError, parse_address
from relay.policy.suppress import Reason
from relay.suppression.book import SuppressionBook
from relay.suppression.contract import NewSuppression, Standing, Which

MOST = 1000


class Refusals:
    """The calls on standing refusals and on addresses that are free of some."""

    def __init__(self, book: SuppressionBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock

    def calls(self) -> Handlers:
        """What this part adds to the door."""
        allowing = {
            f"{name}/{verb}": handler
            for name in ("allowlists", "whitelists")
            for verb, handler in (("add", self.allow), ("list", self.allowed), ("delete", self.forbid))
        }
        return {"rejects/add": self.add, "rejects/list": self.all, "rejects/delete": self.delete, **allowing}

    async def add(self, call: Call) -> Document | Fault:
        """Refuse an address for good."""
        return await self._write(call, Reason.MANUAL)

    async def all(self, call: Call) -> Document | Fault:
        """The refusals in force, or all."""
        wanted = _wanted(call, needed=False)
        if isinstance(wanted, Fault):
            return wanted
        given, address = wanted
        rows = await self._book.show(Which(tenant=call.identity.tenant, address=address, limit=MOST))
        now = self._clock.now()
        return [
            _reject(row, now)
            for row in rows
            if row.reason in REJECTED_FOR and (given.include_expired or row.in_force(now))
        ]

    async def delete(self, call: Call) -> Document | Fault:
        """Take refusals back: all but what the recipient said himself, which a name alone takes back elsewhere."""
        wanted = _wanted(call)
        if isinstance(wanted, Fault):
            return wanted
        given, address = wanted
        rows = await self._book.show(Which(tenant=call.identity.tenant, address=address, limit=MOST))
        reasons = {row.reason for row in rows if row.reason in REJECTED_FOR}
        if not reasons:
            return Fault("Invalid_Reject", "There is no such reject.")
        removed = 0
        for reason in reasons:
            if not reason.of_the_recipient:
                removed += await self._book.remove(
                    Which(tenant=call.identity.tenant, address=address, reason=reason), spare_the_recipients=False
                )
        return {"email": given.email, "deleted": removed > 0, "subaccount": None}

    async def allow(self, call: Call) -> Document | Fault:
        """Let bounces not stop mail to an address."""
        return await self._write(call, Reason.ALLOWED)

    async def allowed(self, call: Call) -> Document | Fault:
        """The addresses that bounces do not stop."""
        wanted = _wanted(call, needed=False)
        if isinstance(wanted, Fault):
            return wanted
        which = Which(tenant=call.identity.tenant, address=wanted[1], reason=Reason.ALLOWED, limit=MOST)
        return [
            {"email": row.address, "detail": row.detail, "created_at": written(row.created_at)}
            for row in await self._book.show(which)
        ]

    async def forbid(self, call: Call) -> Document | Fault:
        """End an allowance."""
        wanted = _wanted(call)
        if isinstance(wanted, Fault):
            return wanted
        which = Which(tenant=call.identity.tenant, address=wanted[1], reason=Reason.ALLOWED)
        return {"email": wanted[0].email, "deleted": await self._book.remove(which) > 0}

    async def _write(self, call: Call, reason: Reason) -> Document | Fault:
        wanted = _wanted(call)
        if isinstance(wanted, Fault):
            return wanted
        given, address = wanted
        if address is None:
            return invalid("email", "write an address")
        added = await self._book.add([NewSuppression(call.identity.tenant, address, reason, detail=given.comment)])
        return {"email": given.email, "added": added > 0}


def _wanted(call: Call, *, needed: bool = True) -> tuple[RefusalCall, Address | None] | Fault:
    given = read(RefusalCall, call)
    if isinstance(given, Fault):
        return given
    if not given.email:
        return invalid("email", "write an address") if needed else (given, None)
    try:
        return given, parse_address(given.email.strip())
    except AddressError as error:
        return invalid("email", str(error))


def _reject(row: Standing, now: datetime) -> dict[str, Any]:
    return {
        "email": row.address,
        "reason": REJECTED_FOR[row.reason],
        "detail": row.detail,
        "created_at": written(row.created_at),
        "last_event_at": written(row.last_at),
        "expires_at": written(row.until),
        "expired": not row.in_force(now),
        "sender": None,
        "subaccount": None,
    }
