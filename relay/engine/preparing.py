"""Preparing: from a submission to the messages as they would be committed: checked, fixed, and signed.

The second half of the one way in, before the commit of `relay.engine.intake`. The body is fixed before anything is
signed: what is signed is what is stored is what is sent. Nothing is written here, so nothing is kept of a refusal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from relay.account.identity import Identity
from relay.clock import Clock, to_millis
from relay.engine.alarms import Alarms
from relay.engine.incoming import UNAVAILABLE
from relay.engine.labels import read_labels
from relay.engine.prelude import PreludeWriter
from relay.engine.refusals import stops_for, told
from relay.engine.reply_address import ReplyAddresses
from relay.engine.submission import Refusal, Submission
from relay.engine.unsubscribe import UnsubscribeFields
from relay.errors import SpoolUnavailableError
from relay.ids import Entropy, SpoolId, new_spool_id
from relay.log import Log
from relay.mail.address import Address
from relay.mail.check import Checked, ContentError, check_content
from relay.mail.received import Client, Received
from relay.mail.sevenbit import to_seven_bit
from relay.policy.alarms import AlarmKind
from relay.policy.state import State
from relay.signing.contract import KeyUnavailableError, Signer
from relay.smtp.reply import reply
from relay.spool.contract import Spool
from relay.spool.work import Door, Incarnation, NewMessage
from relay.suppression.book import SuppressionBook

_log = Log("intake")

_OFF_LOOP_OCTETS: Final = 64 * 1024
"""From this size on, a body is re-encoded in a thread: 17 MB of text would stop the loop for two seconds."""

_MAX_UNSIGNED: Final = 1000

FAN_OUT_OCTETS: Final = 64_000_000
"""Content that one submission may write, where each recipient gets a message of his own."""

MAX_DELAY: Final = timedelta(days=366)
"""How far ahead a message may be handed in; an end of time has no room for the delivery's own end after it."""

LAST: Final = datetime.max.replace(tzinfo=UTC)


Lease = Callable[[NewMessage], Incarnation | None]
"""To whom a message may be leased as it is committed; None: it waits in the spool."""


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


@dataclass(frozen=True, slots=True)
class IntakeParts:
    """What intake works with."""

    spool: Spool
    signer: Signer
    prelude: PreludeWriter
    alarms: Alarms
    clock: Clock
    entropy: Entropy
    book: SuppressionBook | None = None
    """None: nobody is refused."""
    links: UnsubscribeFields | None = None
    """None: one-click unsubscribe is offered by nobody here."""
    replies: ReplyAddresses | None = None
    """None: no letter gets a reply address of its own."""
    wrote: Callable[[Address], None] = lambda _: None
    """Hears whose From is being accepted."""
    may_wait: Callable[[str, str, int], bool] = lambda *_: False
    """Tells by domain, stream and tenant whether a young source's ceiling may stand against a message."""


class Preparer:
    """Makes messages of submissions. `lease` tells to whom the fast path may lease one now."""

    def __init__(self, options: IntakeOptions, parts: IntakeParts, lease: Lease) -> None:
        self._options = options
        self._parts = parts
        self._lease = lease
        self._unsigned_domains: set[str] = set()

    async def messages(self, submission: Submission) -> list[NewMessage] | Refusal:
        """The message of a submission, or one a recipient where each gets a link of his own."""
        if (refusal := self.check_envelope(submission)) is not None:
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
        self._parts.wrote(checked.author)
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
        if one_click and self._parts.links is not None:
            fields += self._parts.links.of(draft.id, draft.due)
        name = submission.replies_as
        if name is not None and self._parts.replies is not None and len(submission.envelope.recipients) == 1:
            fields += self._parts.replies.of(name, draft.id, draft.due)
        return fields

    def _offers_one_click(self, submission: Submission, checked: Checked) -> bool:
        """Whether we write the link: it is wanted, and the message brings none of its own."""
        if self._parts.links is None or submission.door is Door.NOTICE:
            return False
        wanted = submission.unsubscribe
        if wanted is None:
            wanted = submission.stream in self._options.one_click
        return wanted and not any(field.key.startswith(b"list-unsubscribe") for field in checked.fields)

    async def _suppress(self, message: NewMessage) -> NewMessage:
        """The message with the deliveries SUPPRESSED that are under a standing refusal; our own reports never are."""
        if self._parts.book is None or message.door is Door.NOTICE:
            return message
        addresses = [recipient.address for recipient in message.envelope.recipients]
        stops = await stops_for(self._parts.book, message.tenant, message.stream, addresses)
        if not stops:
            return message
        details = {n: told(mark) for n, mark in stops.items()}
        return replace(message, initial=dict.fromkeys(stops, State.SUPPRESSED), details=details)

    def check_envelope(self, submission: Submission) -> Refusal | None:
        recipients = submission.envelope.recipients
        if not recipients:
            return Refusal(reply(554, "5.5.1", "no recipient"), "to")
        if len(recipients) > self._options.max_recipients:
            return Refusal(reply(550, "5.5.3", f"more than {self._options.max_recipients} recipients"), "to")
        if submission.send_at is not None and submission.send_at > self._parts.clock.now() + MAX_DELAY:
            return Refusal(reply(554, "5.6.0", "the time to send at is more than a year ahead"), "send_at")
        begins = max(self._parts.clock.now(), submission.send_at or self._parts.clock.now())
        if submission.expires_at is not None and submission.expires_at <= begins:
            return Refusal(reply(554, "5.6.0", "the message would be given up before it may be sent"), "expires_at")
        reverse_path = submission.envelope.reverse_path
        if isinstance(reverse_path, Address):
            return refused_sender(submission.identity, str(reverse_path))
        return None

    def _draft(self, submission: Submission, checked: Checked, content: bytes) -> NewMessage:
        now = self._parts.clock.now()
        spool_id = new_spool_id(to_millis(now), self._parts.entropy)
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
            sign_as=self._parts.signer.domain_for(checked.author.domain),
            idempotency=submission.idempotency,
        )

    def _received(self, submission: Submission, spool_id: SpoolId) -> bytes:
        origin = submission.origin
        if origin is None:
            return b""
        recipients = submission.envelope.recipients
        return Received(
            client=None if self._options.hide_client else Client(origin.name, origin.address),
            by=self._options.node_name,
            protocol=origin.protocol,
            spool_id=spool_id,
            recipient=recipients[0].address if len(recipients) == 1 else None,
            at=self._parts.clock.now(),
        ).field()

    async def _sign(self, submission: Submission, message: NewMessage, author_domain: str) -> NewMessage:
        if message.sign_as is None:
            self._tell_unsigned(author_domain)
        if message.due > message.accepted_at:
            return message
        domains = {recipient.address.domain for recipient in message.envelope.recipients}
        if any(self._parts.may_wait(domain, message.stream, message.tenant) for domain in domains):
            # It may wait for a ceiling: the prelude is written when it first gets a permit.
            return replace(message, lease_to=self._lease(message))
        try:
            body_hash = None if message.body is None else message.body.body_hash
            prelude = await self._parts.prelude.write(message.content, message, author_domain, body_hash)
        except KeyUnavailableError as error:
            await self._parts.alarms.start(AlarmKind.DKIM_KEY, error.domain, error.reason)
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


def refused_sender(identity: Identity, envelope_sender: str) -> Refusal | None:
    """Why a credential may not use this reverse-path; None if it may. The null path is everybody's."""
    if not envelope_sender or identity.may_use(envelope_sender):
        return None
    return Refusal(reply(550, "5.7.1", "this sender is not yours to use"), "from")


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
