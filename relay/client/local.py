"""The relay as its own front sees it, in the same process: plain values in, submissions out.

A letter becomes a submission without an origin, so nothing of its writer's connection can be in it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import datetime
from email.header import decode_header, make_header
from typing import Final, assert_never

from relay.account.identity import Identity
from relay.client.contract import AddressCheck, Admission, Letter, LetterAccepted, LetterRefused, LetterState
from relay.client.meaning import meaning_of
from relay.database.contract import Database
from relay.engine.admission import Admissions, Sender
from relay.engine.alarms import Alarms
from relay.engine.submission import Accepted, Intake, Refusal, Submission
from relay.event import EventKind
from relay.ids import Entropy, SpoolId, is_spool_id
from relay.mail.address import Address, AddressError, parse_address
from relay.mail.compose import Draft, compose
from relay.mail.envelope import Envelope, Recipient
from relay.mail.header import HeaderError, parse_fields, split_content
from relay.policy.alarms import AlarmKind
from relay.policy.state import State
from relay.policy.suppress import Reason
from relay.resolver.check import DomainCheck, check_domain, suggest
from relay.resolver.contract import DnsAnswer, Resolver
from relay.spool.contract import Spool
from relay.spool.erasing import erase_message, erase_recipient
from relay.spool.inquiry import MessageView
from relay.spool.work import Door, Idempotency
from relay.suppression.book import SuppressionBook
from relay.suppression.contract import NewSuppression

MAX_QUESTIONS: Final = 20
"""DNS questions the front may have open, and checks: a small part of the resolver's, the rest is delivery's."""
CHECK_TIMEOUT: Final = 2.5
"""Seconds a writer waits for DNS: less than the front waits for us, so that the answer is still ours."""
_SHOWN: Final = ("From", "To", "Subject")
_FAILED: Final = frozenset({State.BOUNCED, State.EXPIRED, State.RETURNED})


class _FewQuestions:
    """A resolver with few questions open at once."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._room = asyncio.Semaphore(MAX_QUESTIONS)

    async def ask(self, name: str, kind: str) -> DnsAnswer:
        """See `Resolver.ask`."""
        async with self._room:
            return await self._resolver.ask(name, kind)


class LocalRelayClient:
    """Implements `relay.client.contract.RelayClient`. `identity` is whom the front submits as."""

    def __init__(
        self,
        intake: Intake,
        spool: Spool,
        resolver: Resolver,
        identity: Identity,
        entropy: Entropy,
        book: SuppressionBook,
        database: Database,
        admissions: Admissions | None = None,
        alarms: Alarms | None = None,
    ) -> None:
        self._alarms = alarms
        self._intake = intake
        self._spool = spool
        self._book = book
        self._database = database
        self._admissions = admissions
        self._resolver = _FewQuestions(resolver)
        self._checking: set[asyncio.Task[DomainCheck]] = set()
        self._identity = identity
        self._entropy = entropy
        self._submitting: set[asyncio.Task[Accepted | Refusal]] = set()

    async def check(self, address: str) -> AddressCheck:
        """See `RelayClient.check`. Unknown too if DNS is slow or too many checks are open."""
        address = address.strip()
        try:
            parsed = parse_address(address)
        except AddressError:
            return AddressCheck(address, ok=False, reason="syntax")
        text = str(parsed)
        found = await self._check_domain(parsed.domain)
        match found:
            case DomainCheck.OK:
                return AddressCheck(text, ok=True, suggestion=suggest(text))
            case DomainCheck.UNKNOWN:
                return AddressCheck(text, ok=True, suggestion=suggest(text), unknown=True)
            case DomainCheck.NO_DOMAIN | DomainCheck.NULL_MX | DomainCheck.NO_HOST:
                return AddressCheck(text, ok=False, reason=found.value, suggestion=suggest(text))
            case _:
                assert_never(found)

    async def _check_domain(self, domain: str) -> DomainCheck:
        if len(self._checking) >= MAX_QUESTIONS:
            return DomainCheck.UNKNOWN
        # The resolver's look-up outlives a writer who gives up, so the check keeps its place until that ends.
        task = asyncio.create_task(check_domain(self._resolver, domain), name="check of an address")
        self._checking.add(task)
        task.add_done_callback(self._checking.discard)
        done, _ = await asyncio.wait({task}, timeout=CHECK_TIMEOUT)
        return task.result() if done else DomainCheck.UNKNOWN

    async def submit(self, letter: Letter) -> LetterAccepted | LetterRefused:
        """See `RelayClient.submit`."""
        try:
            sender, recipient = parse_address(letter.sender), parse_address(letter.recipient)
            content = compose(_draft(letter, sender, recipient), self._entropy)
        except (AddressError, HeaderError) as error:
            return LetterRefused(temporary=False, reason=str(error))
        submission = Submission(
            door=Door.WEB,
            identity=self._identity,
            envelope=Envelope(
                sender, (Recipient(recipient),), smtputf8=sender.needs_smtputf8 or recipient.needs_smtputf8
            ),
            content=content,
            stream=letter.stream,
            unnamed=letter.unnamed,
            idempotency=_idempotency(letter),
        )
        # The accept may be inside its commit, so a visitor who leaves must not end it.
        task = asyncio.create_task(self._intake.submit(submission))
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)
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
        view = await self._spool.message(SpoolId(message_id), self._identity.tenant)
        if view is None or not view.deliveries:
            return None
        delivery = view.deliveries[0]
        told = [event for event in view.events if event.n in {None, delivery.n}]
        return LetterState(
            state=delivery.state.label,
            attempts=delivery.attempts,
            changed_at=told[-1].at if told else view.accepted_at,
            next_due=delivery.due,
            meaning=_meaning(view) if delivery.state in _FAILED else "",
            departs_at=delivery.due if delivery.warmth is not None and delivery.warmth.promised is not None else None,
        )

    async def admission(self, sender: str, stream: str, recipient: str = "") -> Admission:
        """See `RelayClient.admission`. Raises AddressError (a ValueError), SpoolUnavailableError."""
        if self._admissions is None:
            return Admission(None)
        whose = Sender(self._identity.tenant, stream, parse_address(sender).domain)
        if recipient:
            room = await self._admissions.room_for(whose, parse_address(recipient).domain)
        else:
            room = await self._admissions.room_today(whose)
        return Admission(room.remaining, room.departs, room.provider)

    async def suppress(self, address: str, *, complaint: bool = False) -> bool:
        """See `RelayClient.suppress`. Raises SpoolUnavailableError."""
        try:
            parsed = parse_address(address.strip())
        except AddressError:
            return False
        reason = Reason.COMPLAINT if complaint else Reason.OPT_OUT
        await self._book.add([NewSuppression(self._identity.tenant, parsed, reason, address_kept=False)])
        return True

    async def suppressed(self, address: str, stream: str = "") -> bool:
        """See `RelayClient.suppressed`. Raises SpoolUnavailableError."""
        try:
            parsed = parse_address(address.strip())
        except AddressError:
            return False
        return bool(await self._book.find(self._identity.tenant, stream, [parsed]))

    async def erase(self, address: str) -> int:
        """See `RelayClient.erase`. Raises SpoolUnavailableError."""
        try:
            parsed = parse_address(address.strip())
        except AddressError:
            return 0
        return await erase_recipient(self._database, self._identity.tenant, str(parsed))

    async def forget(self, message_id: str) -> bool:
        """See `RelayClient.forget`. Raises SpoolUnavailableError."""
        return await erase_message(self._database, self._identity.tenant, message_id)

    async def letters_wait(self, letters: int, oldest: datetime | None) -> None:
        """See `ModerationBell.letters_wait`."""
        if self._alarms is None:
            return
        if letters and oldest is not None:
            evidence = f"{letters} letters wait for a decision, the oldest since {oldest:%Y-%m-%d %H:%M} UTC"
            await self._alarms.start(AlarmKind.MODERATION, "letters", evidence)
        else:
            await self._alarms.end(AlarmKind.MODERATION, "letters")

    def preview(self, letter: Letter) -> Mapping[str, str]:
        """See `RelayClient.preview`. Raises AddressError, HeaderError (both ValueError) as `submit` would refuse."""
        sender, recipient = parse_address(letter.sender), parse_address(letter.recipient)
        header, _ = split_content(compose(_draft(letter, sender, recipient), self._entropy))
        written = {field.key: field.value.decode("utf-8") for field in parse_fields(header)}
        return {name: _as_read(written.get(name.lower().encode(), "")) for name in _SHOWN}


def _draft(letter: Letter, sender: Address, recipient: Address) -> Draft:
    return Draft(
        sender=(letter.sender_name, sender),
        to=(("", recipient),),
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
        headers=letter.headers,
    )


def _idempotency(letter: Letter) -> Idempotency | None:
    """The key alone says which letter it is: one rendered anew after an upgrade is still the same letter."""
    if not letter.idempotency_key:
        return None
    digest = hashlib.sha256(f"{letter.idempotency_key}\n{letter.recipient}".encode()).digest()
    return Idempotency(letter.idempotency_key, digest)


def _meaning(view: MessageView) -> str:
    failures = (EventKind.BOUNCED, EventKind.EXPIRED, EventKind.RETURNED)
    last = next((event for event in reversed(view.events) if event.kind in failures), None)
    return meaning_of(last.detail) if last is not None else "other"


def _as_read(value: str) -> str:
    """A field's value as a mail program shows it: encoded words decoded (RFC 2047)."""
    return str(make_header(decode_header(value)))
