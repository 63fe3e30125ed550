"""The relay as its own front sees it, in the same process: plain values in, submissions out.

A letter becomes a submission without an origin, so nothing of its writer's connection can be in it. The HTTP door
answers a front on another machine with the same (`relay.api.front`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, assert_never

from relay.account.identity import Identity
from relay.client.bell import AlarmBell
from relay.client.checking import AddressChecker
from relay.client.contract import (
    AddressCheck,
    Admission,
    Letter,
    LetterAccepted,
    LetterRefused,
    LetterReply,
    LetterState,
)
from relay.client.meaning import meaning_of
from relay.client.writing import shown_fields, written
from relay.database.contract import Database
from relay.engine.admission import Admissions, Sender
from relay.engine.alarms import Alarms
from relay.engine.submission import Accepted, Intake, Refusal, Submission
from relay.engine.unsubscribe import OptOuts
from relay.event import EventKind
from relay.ids import Entropy, SpoolId, is_spool_id
from relay.mail.address import AddressError, parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.mail.header import HeaderError
from relay.policy.state import State
from relay.policy.suppress import Reason
from relay.spool.contract import Spool
from relay.spool.erasing import erase_message, erase_recipient
from relay.spool.inquiry import DeliveryView, MessageView
from relay.spool.keyed import keyed_message
from relay.spool.letter_replies import Customer, LetterReplies
from relay.spool.work import Door, Idempotency
from relay.suppression.book import SuppressionBook
from relay.suppression.contract import NewSuppression

KEY_KEPT: Final = timedelta(days=7)
"""How long a letter handed over again is the same letter: longer than a front tries to hand one over."""
REPLIES: Final = 5
"""Told at once: a front elsewhere reads no answer above 64 KiB."""
_FAILED: Final = frozenset({State.BOUNCED, State.EXPIRED, State.RETURNED})
_UNDER_WAY: Final = frozenset({State.WAITING, State.LEASED})
_FAILURES: Final = frozenset({EventKind.BOUNCED, EventKind.EXPIRED, EventKind.RETURNED, EventKind.DEFERRED})


@dataclass(frozen=True, slots=True)
class RelayParts:
    """What the relay answers its customers with; one for all of them."""

    intake: Intake
    spool: Spool
    checker: AddressChecker
    entropy: Entropy
    book: SuppressionBook
    database: Database
    replies: LetterReplies
    admissions: Admissions | None = None
    alarms: Alarms | None = None
    opt_outs: OptOuts | None = None
    takes_replies: bool = True
    """Whether letters can have reply addresses: only where mail comes in."""
    submitting: set[asyncio.Task[Accepted | Refusal]] = field(default_factory=set)
    """Accepts under way, which nobody who leaves may end."""


class LocalRelayClient:
    """Implements `relay.client.contract.RelayClient`; `identity` is whom the front submits as. Cheap to make."""

    def __init__(self, parts: RelayParts, identity: Identity) -> None:
        self._parts = parts
        self._identity = identity

    async def check(self, address: str) -> AddressCheck:
        """See `RelayClient.check`."""
        return await self._parts.checker.check(address)

    async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
        """See `RelayClient.submit`. Raises SpoolUnavailableError."""
        try:
            sender, recipient, content = written(letter, self._parts.entropy)
        except (AddressError, HeaderError) as error:
            return LetterRefused(temporary=False, reason=str(error))
        if not self._identity.may_use(str(sender)):
            # The operator's mistake, to be mended by them: it must not end somebody's letter.
            return LetterRefused(temporary=True, reason=f"{self._identity.name} may not send from {sender.domain}")
        if letter.answerable and not self._parts.takes_replies:
            return LetterRefused(temporary=True, reason="the letter may be answered, and this relay takes no replies")
        submission = Submission(
            door=Door.WEB,
            identity=self._identity,
            envelope=Envelope(
                sender, (Recipient(recipient),), smtputf8=sender.needs_smtputf8 or recipient.needs_smtputf8
            ),
            content=content,
            stream=letter.stream,
            unnamed=letter.unnamed,
            replies_as=letter.sender_name if letter.answerable else None,
            idempotency=_idempotency(letter),
        )
        # The accept may be inside its commit, so a visitor who leaves must not end it.
        task = asyncio.create_task(self._parts.intake.submit(submission))
        self._parts.submitting.add(task)
        task.add_done_callback(self._parts.submitting.discard)
        answer = await asyncio.shield(task)
        match answer:
            case Accepted():
                return LetterAccepted(answer.id)
            case Refusal():
                return LetterRefused(temporary=not answer.reply.permanent, reason=answer.reply.text)
            case _:
                assert_never(answer)

    async def state(self, message_id: str) -> LetterState | None:
        """See `RelayClient.state`. Raises SpoolUnavailableError."""
        if not is_spool_id(message_id):
            return None
        view = await self._parts.spool.message(SpoolId(message_id), self._identity.tenant)
        if view is None or not view.deliveries:
            return None
        delivery = view.deliveries[0]
        told = [event for event in view.events if event.n in {None, delivery.n}]
        return LetterState(
            state=delivery.state.label,
            attempts=delivery.attempts,
            changed_at=told[-1].at if told else view.accepted_at,
            next_due=delivery.due,
            meaning=_meaning(view, delivery),
            departs_at=delivery.due if delivery.warmth is not None and delivery.warmth.promised is not None else None,
        )

    async def admission(self, sender: str, stream: str, recipient: str = "") -> Admission:
        """See `RelayClient.admission`. Raises AddressError (a ValueError), SpoolUnavailableError."""
        address = parse_address(sender)
        whose = Sender(self._identity.tenant, stream, address.domain)
        domain = parse_address(recipient).domain if recipient else ""
        # How much another's domain sends is not this customer's to know; its letter is refused later.
        if self._parts.admissions is None or not self._identity.may_use(str(address)):
            return Admission(None)
        if domain:
            room = await self._parts.admissions.room_for(whose, domain)
        else:
            room = await self._parts.admissions.room_today(whose)
        return Admission(room.remaining, room.departs, room.provider, room.ceiling)

    async def suppress(self, address: str, *, complaint: bool = False) -> bool:
        """See `RelayClient.suppress`. Raises SpoolUnavailableError."""
        try:
            parsed = parse_address(address.strip())
        except AddressError:
            return False
        reason = Reason.COMPLAINT if complaint else Reason.OPT_OUT
        await self._parts.book.add([NewSuppression(self._identity.tenant, parsed, reason, address_kept=False)])
        return True

    async def suppressed(self, address: str, stream: str = "") -> bool:
        """See `RelayClient.suppressed`. Raises SpoolUnavailableError."""
        try:
            parsed = parse_address(address.strip())
        except AddressError:
            return False
        return bool(await self._parts.book.find(self._identity.tenant, stream, [parsed]))

    async def refusals(self, stream: str) -> int:
        """See `RelayClient.refusals`. Raises SpoolUnavailableError."""
        return await self._parts.book.unwilling(self._identity.tenant, stream)

    async def erase(self, address: str) -> int:
        """See `RelayClient.erase`. Raises SpoolUnavailableError."""
        try:
            parsed = parse_address(address.strip())
        except AddressError:
            return 0
        return await erase_recipient(self._parts.database, self._identity.tenant, str(parsed))

    async def forget(self, message_id: str) -> bool:
        """See `RelayClient.forget`. Raises SpoolUnavailableError."""
        return not is_spool_id(message_id) or await erase_message(
            self._parts.database, self._identity.tenant, message_id
        )

    async def handed(self, key: str) -> str:
        """See `RelayClient.handed`. Raises SpoolUnavailableError."""
        return await keyed_message(self._parts.database, self._identity.tenant, key)

    async def opt_out(self, token: str) -> bool:
        """See `RelayClient.opt_out`. Raises SpoolUnavailableError."""
        return self._parts.opt_outs is not None and await self._parts.opt_outs.by_link(token)

    async def replies(self, taken: Sequence[str] = ()) -> Sequence[LetterReply]:
        """See `RelayClient.replies`. Raises SpoolUnavailableError."""
        store, whose = self._parts.replies, Customer(self._identity.tenant, self._identity.id)
        await store.taken(whose, [one for one in taken if is_spool_id(one)])
        return [LetterReply(one.message, one.recipient, one.words) for one in await store.waiting(whose, REPLIES)]

    async def letters_wait(
        self, letters: int, oldest: datetime | None, in_danger: int = 0, requests_due: int = 0, filled: int = 0
    ) -> None:
        """See `ModerationBell.letters_wait`."""
        if self._parts.alarms is not None:
            elsewhere = "" if self._identity.id is None else self._identity.name
            bell = AlarmBell(self._parts.alarms, elsewhere)
            await bell.letters_wait(letters, oldest, in_danger, requests_due, filled)

    def preview(self, letter: Letter) -> Mapping[str, str]:
        """See `RelayClient.preview`. Raises AddressError, HeaderError (both ValueError) as `submit` would refuse."""
        return shown_fields(letter)


def _idempotency(letter: Letter) -> Idempotency | None:
    """The key alone says which letter it is: one rendered anew after an upgrade is still the same letter."""
    if not letter.idempotency_key:
        return None
    digest = hashlib.sha256(f"{letter.idempotency_key}\n{letter.recipient}".encode()).digest()
    return Idempotency(letter.idempotency_key, digest, KEY_KEPT)


def _meaning(view: MessageView, delivery: DeliveryView) -> str:
    is_put_off = delivery.state in _UNDER_WAY and delivery.attempts > 0
    if delivery.state not in _FAILED and not is_put_off:
        return ""
    last = next((event for event in reversed(view.events) if event.kind in _FAILURES), None)
    return meaning_of(last.detail) if last is not None else "other"
