"""messages/send and messages/send-raw: each recipient is answered for himself, after the commit of his letter.

The answer "queued" is the promise of the spool; "sent" is never said, since nobody waits here for the first attempt.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, assert_never

from relay.api.dependencies import ApiDependencies
from relay.api.mandrill.call import Call, Document, Handlers, read
from relay.api.mandrill.documents import SendCall, SendRawCall
from relay.api.mandrill.fault import Fault, invalid
from relay.api.mandrill.letters import Letter, plan_letters, plan_raw
from relay.api.messages import Messages
from relay.engine.submission import Accepted, AcceptedDelivery, Refusal, Submission
from relay.ids import delivery_id
from relay.mail.address import Address
from relay.mail.compose import compose
from relay.mail.header import HeaderError
from relay.policy.state import State
from relay.policy.suppress import Reason
from relay.spool.work import Door

AT_ONCE: Final = 20
"""Letters of one call that are in intake at the same time."""
MAX_OCTETS: Final = 64_000_000
"""Of all letters of a call together."""

REJECTED_FOR: Final = {
    Reason.HARD_BOUNCE: "hard-bounce",
    Reason.SOFT_BOUNCE: "soft-bounce",
    Reason.COMPLAINT: "spam",
    Reason.OPT_OUT: "unsub",
    Reason.MANUAL: "custom",
}
"""Mandrill's word for why mail to an address is refused."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What is sent: by which call, and not before when."""

    call: Call
    send_at: datetime | None


class Sending:
    """The calls that take mail."""

    def __init__(self, dependencies: ApiDependencies, messages: Messages) -> None:
        self._messages = messages
        self._book = dependencies.suppressions
        self._clock = dependencies.clock
        self._entropy = dependencies.entropy
        self._most = dependencies.options.max_recipients

    def calls(self) -> Handlers:
        """What this part adds to the door."""
        return {"messages/send": self.send, "messages/send-raw": self.send_raw}

    async def send(self, call: Call) -> Document | Fault:
        """Compose letters and take them."""
        wanted = await asyncio.to_thread(read, SendCall, call)
        if isinstance(wanted, Fault):
            return wanted
        if len(wanted.message.to) > self._most:
            return invalid("message.to", f"a call has at most {self._most} recipients")
        plan = plan_letters(wanted.message)
        if isinstance(plan, Fault):
            return plan
        if plan.octets > MAX_OCTETS:
            return invalid("message", "this is too large for so many recipients: hand it in for fewer at once")
        order = _Order(call, self._later(wanted.send_at))
        room = asyncio.Semaphore(AT_ONCE)

        async def take(letter: Letter) -> list[dict[str, Any]] | Fault:
            async with room:
                return await self._take(order, letter)

        letters: list[Letter] = []
        for letter in await asyncio.to_thread(lambda: list(plan.letters())):
            if isinstance(letter, Fault):
                return letter
            letters.append(letter)
        if letters:  # what is wrong with one is mostly wrong with all: then nothing was taken
            first = await take(letters[0])
            if isinstance(first, Fault):
                return first
            others = await asyncio.gather(*map(take, letters[1:]))
            answers = [first, *(_later_fault(one, letter) for one, letter in zip(others, letters[1:], strict=True))]
        else:
            answers = []
        return [*(item for some in answers for item in some), *map(self._no_address, plan.not_addresses)]

    async def send_raw(self, call: Call) -> Document | Fault:
        """Take a whole message."""
        wanted = await asyncio.to_thread(read, SendRawCall, call)
        if isinstance(wanted, Fault):
            return wanted
        planned = await asyncio.to_thread(plan_raw, wanted)
        if isinstance(planned, Fault):
            return planned
        letter, wrong = planned
        if len(letter.named) > self._most:
            return invalid("to", f"a call has at most {self._most} recipients")
        taken = await self._take(_Order(call, self._later(wanted.send_at)), letter) if letter.named else []
        return taken if isinstance(taken, Fault) else [*taken, *map(self._no_address, wrong)]

    def _later(self, moment: datetime | None) -> datetime | None:
        """A time that has passed sends at once."""
        return moment if moment is not None and moment > self._clock.now() else None

    async def _take(self, order: _Order, letter: Letter) -> list[dict[str, Any]] | Fault:
        content = letter.raw
        if letter.draft is not None:
            try:
                content = await asyncio.to_thread(compose, letter.draft, self._entropy)
            except HeaderError as error:
                return invalid(f"message.{error.field}" if error.field else "message", error.reason)
        answer = await self._messages.submit(
            Submission(
                door=Door.HTTP,
                identity=order.call.identity,
                envelope=letter.envelope,
                content=content,
                origin=order.call.origin,
                tags=letter.tags,
                metadata=letter.metadata,
                send_at=order.send_at,
            )
        )
        match answer:
            case Accepted():
                reasons = await self._reasons(order.call, letter, answer)
                return [
                    _item(name, answer, one, reason, later=order.send_at is not None)
                    for name, one, reason in zip(letter.named, answer.deliveries, reasons, strict=True)
                ]
            case Refusal():
                return self._refused(letter, answer)
            case _:
                assert_never(answer)

    async def _reasons(self, call: Call, letter: Letter, answer: Accepted) -> list[str | None]:
        """Why each is refused; None for those who are not."""
        stopped = [n for n, one in enumerate(answer.deliveries) if one.state is State.SUPPRESSED]
        reasons: list[str | None] = [None] * len(answer.deliveries)
        if self._book is not None and stopped:
            addresses: list[Address] = [letter.envelope.recipients[n].address for n in stopped]
            marks = await self._book.find(call.identity.tenant, "", addresses)
            for place, n in enumerate(stopped):
                reasons[n] = REJECTED_FOR.get(marks[place].reason) if place in marks else "custom"
        return reasons

    def _refused(self, letter: Letter, refusal: Refusal) -> list[dict[str, Any]] | Fault:
        if not refusal.reply.permanent:
            return Fault("ServiceUnavailable", refusal.reply.text)
        if refusal.field == "from":
            return [self._item_of_none(name, "rejected", "invalid-sender") for name in letter.named]
        return invalid(f"message.{refusal.field}" if refusal.field else "message", refusal.reply.text)

    def _no_address(self, name: str) -> dict[str, Any]:
        return self._item_of_none(name, "invalid", "invalid")

    def _item_of_none(self, name: str, status: str, reason: str) -> dict[str, Any]:
        """An answer about mail that does not exist here; the id is one that nothing has."""
        return {
            "email": name,
            "status": status,
            "reject_reason": reason,
            "queued_reason": None,
            "_id": self._entropy.bytes(16).hex(),
        }


def _item(name: str, answer: Accepted, one: AcceptedDelivery, reason: str | None, *, later: bool) -> dict[str, Any]:
    status = "scheduled" if later else "queued"
    return {
        "email": name,
        "status": "rejected" if reason else status,
        "reject_reason": reason,
        "queued_reason": None,
        "_id": delivery_id(one.message or answer.id, one.n),
    }


def _later_fault(answer: list[dict[str, Any]] | Fault, letter: Letter) -> list[dict[str, Any]]:
    """A letter that could not be taken after others were: its recipients alone are told so."""
    if not isinstance(answer, Fault):
        return answer
    refused = {"status": "rejected", "reject_reason": "rule", "queued_reason": None, "_id": ""}
    return [{"email": name, **refused} for name in letter.named]
