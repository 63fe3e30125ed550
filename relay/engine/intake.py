"""Intake: the one way in. Every door's submission is prepared (`relay.engine.preparing`) and committed here.

A submission that cannot be taken is answered with a `Refusal`; nothing of it is kept. After `submit` has answered
`Accepted`, the message is on disk.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from relay import metrics
from relay.account.identity import Identity
from relay.engine.incoming import FULL, LARGE, UNAVAILABLE, Bodies, IncomingContent
from relay.engine.preparing import IntakeOptions, IntakeParts, Lease, Preparer, refused_sender
from relay.engine.submission import Accepted, AcceptedDelivery, Refusal, Submission
from relay.errors import SpoolFullError, SpoolUnavailableError
from relay.ids import SpoolId
from relay.log import Log
from relay.mail.check import ContentError, check_content
from relay.policy.state import State
from relay.smtp.reply import Reply, reply
from relay.spool.work import Door, Duty, IdempotencyConflictError, Incarnation, NewMessage, Parcel, Receipt

_log = Log("intake")

_Receipts = TypeVar("_Receipts", Receipt, list[Receipt])

BUSY: Final = reply(452, "4.3.1", "too much mail is being taken just now; try again later")


@dataclass(frozen=True, slots=True)
class FastPath:
    """How deliveries begin in the commit that accepts their message: who holds them, and who delivers."""

    lease: Lease
    life: Callable[[], Incarnation]
    """Owns large bodies on their way in."""
    hand_over: Callable[[Parcel], None]
    """Takes the parcels that were leased."""


class MailIntake:
    """Implements `relay.engine.submission.Intake`.

    `submit` belongs in a task that a vanished client cannot cancel: after the commit it hands leased deliveries over.
    """

    def __init__(self, options: IntakeOptions, parts: IntakeParts, fast_path: FastPath) -> None:
        self._options = options
        self._preparer = Preparer(options, parts, fast_path.lease)
        self._spool = parts.spool
        self._clock = parts.clock
        self._hand_over = fast_path.hand_over
        self._bodies = Bodies(parts.spool, fast_path.life)
        self._in_flight = 0

    def may_send_from(self, identity: Identity, envelope_sender: str) -> Refusal | None:
        return refused_sender(identity, envelope_sender)

    def receive(self) -> IncomingContent:
        return self._bodies.open()

    def has_room(self, size: int) -> Refusal | None:
        if size > self._options.max_size:
            return Refusal(reply(552, "5.3.4", f"the message exceeds {self._options.max_size} octets"), "raw")
        if self._in_flight + min(size, LARGE) > self._options.max_octets_in_flight:
            return Refusal(BUSY)
        return None

    async def submit(self, submission: Submission) -> Accepted | Refusal:
        answer = await self._submit(submission)
        if isinstance(answer, Accepted):
            metrics.accepted.labels(submission.door.value).inc()
        elif submission.door is not Door.SMTP:  # the SMTP door counts every refusal it speaks, its own too
            metrics.refused.labels(submission.door.value, answer.reply.status).inc()
        return answer

    async def _submit(self, submission: Submission) -> Accepted | Refusal:
        held = len(submission.content)
        refusal = self.has_room(submission.size)
        if refusal is None and self._in_flight + held > self._options.max_octets_in_flight:
            refusal = Refusal(BUSY)
        if refusal is not None:
            self._bodies.discard(None if submission.body is None else submission.body.seq)
            return refusal
        self._in_flight += held
        answer: Accepted | Refusal | None = None
        try:
            stored = await self._store(submission)
            if isinstance(stored, Refusal):
                return stored
            submission = stored
            messages = await self._preparer.messages(submission)
            if isinstance(messages, Refusal):
                return messages
            answer = await (self._commit(messages[0]) if len(messages) == 1 else self._commit_together(messages))
            return answer
        except Exception:  # noqa: BLE001 - a door must be able to answer, and the client to try again
            _log.exception("intake-failed", door=submission.door.value)
            return Refusal(reply(451, "4.3.0", "the message could not be processed; try again later"))
        finally:
            self._in_flight -= held
            if submission.body is not None and (not isinstance(answer, Accepted) or answer.duplicate):
                self._bodies.discard(submission.body.seq)

    async def _store(self, submission: Submission) -> Submission | Refusal:
        """A large submission with its body in the spool, in 7 bits; a small one as it is."""
        if submission.body is None and submission.size <= LARGE:
            return submission
        if (refusal := self._preparer.check_envelope(submission)) is not None:
            return refusal
        head, body = submission.content, submission.body
        if body is None:
            stored = await self._bodies.store(submission.content)
            if isinstance(stored, Reply):
                return Refusal(stored, "raw")
            head, body = stored.head, stored.body
        if not body.eight_bit:
            return replace(submission, content=head, body=body)
        try:
            check_content(head, smtputf8=submission.envelope.smtputf8)
            header, body = await self._bodies.to_seven_bit(head[:-2], body)
        except (ContentError, SpoolUnavailableError) as error:
            self._bodies.discard(body.seq)
            if isinstance(error, ContentError):
                return Refusal(error.reply, error.field)
            return Refusal(FULL if isinstance(error, SpoolFullError) else UNAVAILABLE)
        return replace(submission, content=header + b"\r\n", body=body)

    async def prepare(self, submission: Submission) -> NewMessage | Refusal:
        """Check, fix and sign: the message as it would be committed. Also makes our own notices."""
        messages = await self._preparer.messages(replace(submission, unsubscribe=False))
        return messages if isinstance(messages, Refusal) else messages[0]

    async def _commit_together(self, messages: list[NewMessage]) -> Accepted | Refusal:
        """Commit the messages of one submission, all or none; it is known by the first one's id."""
        begun = self._clock.monotonic()
        receipts = await self._accept(self._spool.accept_together(messages))
        if isinstance(receipts, Refusal):
            return receipts
        metrics.accept_seconds.observe(self._clock.monotonic() - begun)
        deliveries: list[AcceptedDelivery] = []
        for message, receipt in zip(messages, receipts, strict=True):
            answer = await self._earlier(receipt.id) if receipt.duplicate else self._committed(message, receipt)
            if isinstance(answer, Refusal):
                return answer
            deliveries += [replace(one, message=answer.id) for one in answer.deliveries]
        return Accepted(receipts[0].id, tuple(deliveries), duplicate=receipts[0].duplicate)

    async def _commit(self, message: NewMessage) -> Accepted | Refusal:
        begun = self._clock.monotonic()
        receipt = await self._accept(self._spool.accept(message))
        if isinstance(receipt, Refusal):
            return receipt
        metrics.accept_seconds.observe(self._clock.monotonic() - begun)
        return await self._earlier(receipt.id) if receipt.duplicate else self._committed(message, receipt)

    async def _accept(self, committing: Awaitable[_Receipts]) -> _Receipts | Refusal:
        """What the spool answers, or the refusal that its failure means."""
        try:
            return await committing
        except IdempotencyConflictError:
            text = "this Idempotency-Key was used before with other content"
            return Refusal(reply(550, "5.5.4", text), "Idempotency-Key", conflict=True)
        except SpoolFullError:
            return Refusal(FULL)
        except SpoolUnavailableError as error:
            _log.error("accept-failed", error=repr(error))
            return Refusal(UNAVAILABLE)

    def _committed(self, message: NewMessage, receipt: Receipt) -> Accepted:
        _log.info("accepted", id=message.id, door=message.door.value, recipients=len(message.envelope.recipients))
        for parcel in parcels_of(message, receipt):
            self._hand_over(parcel)
        return Accepted(
            message.id,
            tuple(
                AcceptedDelivery(str(recipient.address), n, message.initial.get(n, State.WAITING))
                for n, recipient in enumerate(message.envelope.recipients)
            ),
        )

    async def _earlier(self, spool_id: SpoolId) -> Accepted | Refusal:
        """The answer that was given when the key was first used."""
        try:
            view = await self._spool.message(spool_id)
        except SpoolUnavailableError:
            view = None
        if view is None:
            return Refusal(UNAVAILABLE)
        deliveries = tuple(AcceptedDelivery(d.recipient or "", d.n, d.initial) for d in view.deliveries)
        return Accepted(spool_id, deliveries, duplicate=True)


def parcels_of(message: NewMessage, receipt: Receipt) -> list[Parcel]:
    """The parcels of the deliveries leased at accept, one a next-hop domain."""
    by_domain: dict[str, list[Duty]] = {}
    for n in sorted(receipt.leased):
        recipient = message.envelope.recipients[n]
        duty = Duty(receipt.seq, n, message.id, message.tenant, recipient, 0, message.due)
        by_domain.setdefault(recipient.address.domain, []).append(duty)
    return [
        Parcel(
            seq=receipt.seq,
            id=message.id,
            tenant=message.tenant,
            door=message.door,
            reverse_path=message.envelope.reverse_path,
            envelope=replace(message.envelope, recipients=tuple(duty.recipient for duty in duties)),
            duties=tuple(duties),
            size=message.size,
            prelude=message.prelude,
            received=message.received,
            sign_as=message.sign_as,
            accepted_at=message.accepted_at,
            expires_at=message.expires_at,
            stream=message.stream,
            content=message.content if message.body is None else None,
        )
        for duties in by_domain.values()
    ]
