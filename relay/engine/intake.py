"""Intake: the one way in. Every door's submission is checked, fixed, signed and committed here.

The body is fixed before anything is signed: what is signed is what is stored is what is sent. A submission
that cannot be taken is answered with a `Refusal`; nothing of it is kept. After `submit` has answered
`Accepted`, the message is on disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from relay import metrics
from relay.account.identity import Identity
from relay.clock import Clock, to_millis
from relay.engine.alarms import Alarms
from relay.engine.incoming import FULL, LARGE, UNAVAILABLE, Bodies, IncomingContent
from relay.engine.labels import read_labels
from relay.engine.prelude import PreludeWriter
from relay.engine.refusals import stops_for, told
from relay.engine.reply_address import ReplyAddresses
from relay.engine.submission import Accepted, AcceptedDelivery, Refusal, Submission
from relay.engine.unsubscribe import UnsubscribeFields
from relay.errors import SpoolFullError, SpoolUnavailableError
from relay.ids import Entropy, SpoolId, new_spool_id
from relay.log import Log
from relay.mail.address import Address
from relay.mail.check import Checked, ContentError, check_content
from relay.mail.received import received_field
from relay.mail.sevenbit import to_seven_bit
from relay.policy.alarms import AlarmKind
from relay.policy.state import State
from relay.signing.contract import KeyUnavailableError, Signer
from relay.smtp.reply import Reply, reply
from relay.spool.contract import Spool
from relay.spool.work import Door, Duty, IdempotencyConflictError, Incarnation, NewMessage, Parcel, Receipt
from relay.suppression.book import SuppressionBook

_log = Log("intake")

_OFF_LOOP_OCTETS: Final = 64 * 1024
"""From this size on, a body is re-encoded in a thread: 17 MB of text would stop the loop for two seconds."""

_MAX_UNSIGNED: Final = 1000

FAN_OUT_OCTETS: Final = 64_000_000
"""Content that one submission may write, where each recipient gets a message of his own."""

_Receipts = TypeVar("_Receipts", Receipt, list[Receipt])

MAX_DELAY: Final = timedelta(days=366)
"""How far ahead a message may be handed in; an end of time has no room for the delivery's own end after it."""

LAST: Final = datetime.max.replace(tzinfo=UTC)

BUSY: Final = reply(452, "4.3.1", "too much mail is being taken just now; try again later")


@dataclass(frozen=True, slots=True)
class IntakeOptions:
    """What intake is told: the node's name, limits in octets and counts, how long a delivery is tried."""

    node_name: str
    max_size: int
    max_recipients: int
    expire_after: timedelta
    hide_client: bool = False
    one_click: frozenset[str] = frozenset()
    """Streams that offer one-click unsubscribe."""
    max_octets_in_flight: int = 128_000_000
    """Content of submissions being processed at once; more get 4xx, so that memory has a bound."""


class MailIntake:
    """Implements `relay.engine.submission.Intake`.

    `submit` belongs in a task that a vanished client cannot cancel: after the commit it hands leased deliveries
    over. `lease` tells to whom the fast path may lease a message now (None: it waits in the spool); `hand_over` takes
    the parcels that were leased; `wrote` hears whose From is being accepted; `may_wait` tells by domain, stream and
    tenant whether a young source's ceiling may stand against a message; `life` owns large bodies on their way in.
    """

    def __init__(
        self,
        options: IntakeOptions,
        spool: Spool,
        signer: Signer,
        prelude: PreludeWriter,
        alarms: Alarms,
        *,
        clock: Clock,
        entropy: Entropy,
        lease: Callable[[NewMessage], Incarnation | None],
        life: Callable[[], Incarnation],
        hand_over: Callable[[Parcel], None],
        book: SuppressionBook | None = None,
        wrote: Callable[[Address], None] = lambda _: None,
        links: UnsubscribeFields | None = None,
        replies: ReplyAddresses | None = None,
        may_wait: Callable[[str, str, int], bool] = lambda *_: False,
    ) -> None:
        self._options = options
        self._spool = spool
        self._signer = signer
        self._prelude = prelude
        self._alarms = alarms
        self._clock = clock
        self._entropy = entropy
        self._lease = lease
        self._hand_over = hand_over
        self._book = book
        self._wrote = wrote
        self._links = links
        self._replies = replies
        self._may_wait = may_wait
        self._bodies = Bodies(spool, life)
        self._in_flight = 0
        self._unsigned_domains: set[str] = set()

    def may_send_from(self, identity: Identity, envelope_sender: str) -> Refusal | None:
        if not envelope_sender or identity.may_use(envelope_sender):
            return None
        return Refusal(reply(550, "5.7.1", "this sender is not yours to use"), "from")

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
            messages = await self._prepare(submission)
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
        if (refusal := self._check_envelope(submission)) is not None:
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
        messages = await self._prepare(replace(submission, unsubscribe=False))
        return messages if isinstance(messages, Refusal) else messages[0]

    async def _prepare(self, submission: Submission) -> list[NewMessage] | Refusal:
        """The message of a submission, or one a recipient where each gets a link of his own."""
        if (refusal := self._check_envelope(submission)) is not None:
            return refusal
        try:
            checked = check_content(submission.content, smtputf8=submission.envelope.smtputf8)
            labelled = read_labels(submission, checked)
            submission, checked = labelled.submission, labelled.checked
            content = await _fix(checked)
        except ContentError as error:
            return Refusal(error.reply, error.field)
        named = (*checked.authors, *((checked.sender,) if checked.sender is not None else ()))
        if not all(submission.identity.may_use(str(address)) for address in named):
            return Refusal(reply(550, "5.7.1", "the From or Sender address is not yours to use"), "from")
        self._wrote(checked.author)
        one_click = self._offers_one_click(submission, checked)
        parts = each_recipient(submission) if one_click else [submission]
        if len(parts) * submission.size > FAN_OUT_OCTETS and len(parts) > 1:
            text = "each recipient gets a message of his own here: hand so large a one in for fewer at once"
            return Refusal(reply(552, "5.3.4", text), "to")
        messages: list[NewMessage] = []
        for part in parts:
            draft = replace(self._draft(part, checked, content), copies_body=bool(messages))
            draft = replace(draft, received=draft.received + self._ways_back(part, draft, one_click=one_click))
            message = await self._finish(part, draft, checked.author.domain)
            if isinstance(message, Refusal):
                return message
            messages.append(message)
        return messages

    async def _finish(self, submission: Submission, draft: NewMessage, author_domain: str) -> NewMessage | Refusal:
        """A draft with what is refused settled, and signed if anybody will get it."""
        try:
            draft = await self._suppress(draft)
        except SpoolUnavailableError as error:
            _log.error("accept-failed", error=repr(error))
            return Refusal(UNAVAILABLE)
        if len(draft.initial) == len(draft.envelope.recipients):
            return draft
        return await self._sign(submission, draft, author_domain)

    def _ways_back(self, submission: Submission, draft: NewMessage, *, one_click: bool) -> bytes:
        """The fields that name one recipient's message: how to be rid of its stream, and where to answer it."""
        fields = b""
        if one_click and self._links is not None:
            fields += self._links.of(draft.id, draft.due)
        name = submission.replies_as
        if name is not None and self._replies is not None and len(submission.envelope.recipients) == 1:
            fields += self._replies.of(name, draft.id, draft.due)
        return fields

    def _offers_one_click(self, submission: Submission, checked: Checked) -> bool:
        """Whether we write the link: it is wanted, and the message brings none of its own."""
        if self._links is None or submission.door is Door.NOTICE:
            return False
        wanted = submission.unsubscribe
        if wanted is None:
            wanted = submission.stream in self._options.one_click
        return wanted and not any(field.key.startswith(b"list-unsubscribe") for field in checked.fields)

    async def _suppress(self, message: NewMessage) -> NewMessage:
        """The message with the deliveries SUPPRESSED that are under a standing refusal; our own reports never are."""
        if self._book is None or message.door is Door.NOTICE:
            return message
        addresses = [recipient.address for recipient in message.envelope.recipients]
        stops = await stops_for(self._book, message.tenant, message.stream, addresses)
        if not stops:
            return message
        details = {n: told(mark) for n, mark in stops.items()}
        return replace(message, initial=dict.fromkeys(stops, State.SUPPRESSED), details=details)

    def _check_envelope(self, submission: Submission) -> Refusal | None:
        recipients = submission.envelope.recipients
        if not recipients:
            return Refusal(reply(554, "5.5.1", "no recipient"), "to")
        if len(recipients) > self._options.max_recipients:
            return Refusal(reply(550, "5.5.3", f"more than {self._options.max_recipients} recipients"), "to")
        if submission.send_at is not None and submission.send_at > self._clock.now() + MAX_DELAY:
            return Refusal(reply(554, "5.6.0", "the time to send at is more than a year ahead"), "send_at")
        begins = max(self._clock.now(), submission.send_at or self._clock.now())
        if submission.expires_at is not None and submission.expires_at <= begins:
            return Refusal(reply(554, "5.6.0", "the message would be given up before it may be sent"), "expires_at")
        reverse_path = submission.envelope.reverse_path
        if isinstance(reverse_path, Address):
            return self.may_send_from(submission.identity, str(reverse_path))
        return None

    def _draft(self, submission: Submission, checked: Checked, content: bytes) -> NewMessage:
        now = self._clock.now()
        spool_id = new_spool_id(to_millis(now), self._entropy)
        due = now if submission.send_at is None else max(now, submission.send_at)
        return NewMessage(
            id=spool_id,
            tenant=submission.identity.tenant,
            credential=submission.identity.id,
            door=submission.door,
            envelope=submission.envelope,
            content=content,
            body=submission.body,
            prelude=None,
            accepted_at=now,
            expires_at=min(due + self._options.expire_after, submission.expires_at or LAST),
            due=due,
            scheduled=due > now,
            stream=submission.stream,
            tags=submission.tags,
            metadata=submission.metadata,
            unnamed=submission.unnamed,
            received=self._received(submission, spool_id),
            sign_as=self._signer.domain_for(checked.author.domain),
            idempotency=submission.idempotency,
        )

    def _received(self, submission: Submission, spool_id: SpoolId) -> bytes:
        origin = submission.origin
        if origin is None:
            return b""
        recipients = submission.envelope.recipients
        return received_field(
            client_name=origin.name,
            client_address=origin.address,
            by=self._options.node_name,
            protocol=origin.protocol,
            spool_id=spool_id,
            recipient=recipients[0].address if len(recipients) == 1 else None,
            at=self._clock.now(),
            hide_client=self._options.hide_client,
        )

    async def _sign(self, submission: Submission, message: NewMessage, author_domain: str) -> NewMessage:
        if message.sign_as is None:
            self._tell_unsigned(author_domain)
        if message.due > message.accepted_at:
            return message
        domains = {recipient.address.domain for recipient in message.envelope.recipients}
        if any(self._may_wait(domain, message.stream, message.tenant) for domain in domains):
            # It may wait for a ceiling: the prelude is written when it first gets a permit.
            return replace(message, lease_to=self._lease(message))
        try:
            body_hash = None if message.body is None else message.body.body_hash
            prelude = await self._prelude.write(message.content, message, author_domain, body_hash)
        except KeyUnavailableError as error:
            await self._alarms.start(AlarmKind.DKIM_KEY, error.domain, error.reason)
            held = dict.fromkeys(range(len(message.envelope.recipients)), State.HELD)
            return replace(
                message, initial={**held, **message.initial}, hold_reason=f"the DKIM key cannot be used: {error.reason}"
            )
        return replace(message, prelude=prelude, lease_to=self._lease(message))

    def _tell_unsigned(self, domain: str) -> None:
        """Warn once a domain; whoever may use any sender could otherwise fill log or memory."""
        if domain not in self._unsigned_domains and len(self._unsigned_domains) < _MAX_UNSIGNED:
            self._unsigned_domains.add(domain)
            _log.warning("unsigned", domain=domain, remedy="add a [[signing.domain]] section")

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


def each_recipient(submission: Submission) -> list[Submission]:
    """A submission for each recipient; a repetition under the same idempotency key finds them all again."""
    parts: list[Submission] = []
    for n, recipient in enumerate(submission.envelope.recipients):
        key = submission.idempotency
        if key is not None and n:
            key = replace(key, key=f"{key.key}\n{n}")
        envelope = replace(submission.envelope, recipients=(recipient,))
        parts.append(replace(submission, envelope=envelope, idempotency=key))
    return parts


async def _fix(checked: Checked) -> bytes:
    """The content as stored: 8-bit bodies re-encoded, so that any host takes it and the signature holds."""
    header, body = checked.header, checked.body
    if checked.eight_bit and len(body) > _OFF_LOOP_OCTETS:
        header, body = await asyncio.to_thread(to_seven_bit, header, body)
    elif checked.eight_bit:
        header, body = to_seven_bit(header, body)
    return header + b"\r\n" + body


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
