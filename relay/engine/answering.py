"""What becomes of replies: a letter's may be passed on to the front that sent it, who writes otherwise is told once.

Stands behind the feedback that sorts inbound mail. Whether a person wrote at all is `relay.policy.answering`'s; that
the author is who he says is judged here, by aligned DMARC. A reply is passed on if it came to its letter's own address,
from the mailbox that the letter went to, and is the first. To the author of any other the right to answer is taken, and
the answer goes through intake with the null path, which nobody answers. Every judgement is a task of its own, bounded
in number and time, so that a stranger's slow DNS delays no bounce; what is not settled is found by the next sweep.
Who writes to a letter's address without being its recipient has the room and the patience that From addresses have:
it stands in a letter that may be shown around, and nobody is to keep the recipient's own reply out.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from math import inf
from typing import Final

from relay.account.identity import Identity
from relay.authentication.spf import Evidence
from relay.authentication.verdict import Judged, judge
from relay.clock import Clock
from relay.engine.refusals import stops_for
from relay.engine.submission import Refusal, Submission
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.mail.address import NULL_PATH, Address, AddressError, parse_address
from relay.mail.author import parse_mailboxes
from relay.mail.envelope import Envelope, Recipient
from relay.mail.header import HeaderError, parse_fields, split_content
from relay.policy.answering import ONCE_IN, Incoming, prefers_french, why_silent
from relay.policy.hearing import Followed, Hearing, Purpose
from relay.report.auto_reply import Words, build_auto_reply
from relay.report.reply_text import read_reply_text
from relay.resolver.contract import Resolver
from relay.spool.auto_answers import AutoAnswers
from relay.spool.contract import Spool
from relay.spool.inbound_values import InboundItem, SentDelivery
from relay.spool.letter_replies import LetterReplies
from relay.spool.work import Door, Idempotency, NewMessage
from relay.suppression.book import SuppressionBook
from relay.suppression.hashing import AddressHasher, mailbox_form

_log = Log("answer")

MAX_JUDGING: Final = 20
"""Replies judged at once, by letters' recipients and by all others each: what comes beyond is kept unanswered of the
others, and waits unsorted of recipients. Who writes with a slow DNS of theirs takes no place of a recipient."""
SECONDS: Final = 60.0
LATER_SECONDS: Final = 60.0
"""After so long a reply to a letter is looked at again, where the DNS did not answer."""
PATIENCE: Final = timedelta(days=1)
"""For so long: it is somebody's, and what is not passed on is deleted."""
_STOP_SECONDS: Final = 5.0
_NO_WORDS: Final = "nothing is set to be answered"


@dataclass(frozen=True, slots=True)
class Offered:
    """A mail by a person, as it seems: `sent` is the letter that a reply token names, `is_crowded` whether so many
    mails came to it that a stranger's is not looked into.
    """

    item: InboundItem
    sent: SentDelivery | None
    is_crowded: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    """A reply under way: what its header says, and why it cannot be passed on whoever vouches for it."""

    item: InboundItem
    mail: Incoming
    sent: SentDelivery | None
    not_passed: str

    @property
    def pool(self) -> Purpose:
        """Beside whom it is judged."""
        return Purpose.SENDER if self.not_passed else Purpose.REPLY


Settle = Callable[[Hearing], Awaitable[None]]
"""Writes down what followed from the item; raises SpoolUnavailableError."""


@dataclass(frozen=True, slots=True)
class AnswerParts:
    """What answers are made with. `prepare` is intake's; `hasher` hashes under a key of this purpose alone."""

    node_name: str
    tenant: int
    words: Words
    spool: Spool
    ledger: AutoAnswers
    hasher: AddressHasher
    resolver: Resolver
    prepare: Callable[[Submission], Awaitable[NewMessage | Refusal]]
    suppressions: SuppressionBook
    replies: LetterReplies
    clock: Clock


class Answers:
    """Judges replies and answers them. Owns a task for each reply under way."""

    def __init__(self, parts: AnswerParts) -> None:
        self._parts = parts
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._pools: dict[int, Purpose] = {}
        self._later: dict[int, float] = {}

    def is_busy(self, purpose: Purpose) -> bool:
        """Whether as many replies are being judged as may be: by recipients of letters, or by anybody else."""
        return sum(one is purpose for one in self._pools.values()) >= MAX_JUDGING

    def offer(self, offered: Offered, settle: Settle) -> str:
        """Take up an item, to be settled later; or the reason why nothing follows, and nothing is taken up.

        A reply that may be its letter's may stay unsorted until it is offered again.
        """
        item = offered.item
        if item.id in self._tasks:
            return ""
        mail = read_incoming(item)
        case = _Case(item, mail, offered.sent, _why_nobodys(item, mail, offered.sent))
        why = _NO_WORDS if case.not_passed and not self._parts.words else why_silent(mail)
        if not why and case.not_passed and offered.is_crowded:
            why = "too many others wrote to the same letter"
        if not why and self.is_busy(case.pool):
            why = "too many others are being looked at"
        if not why:
            task = asyncio.create_task(self._settle(case, settle), name="answer")
            self._tasks[item.id], self._pools[item.id] = task, case.pool
            task.add_done_callback(lambda _: self._done(item.id))
        return why

    def _done(self, number: int) -> None:
        self._tasks.pop(number, None)
        self._pools.pop(number, None)

    def has(self, number: int) -> bool:
        """Whether an item is being judged, or waits here to be looked at again: it need not be offered now."""
        return number in self._tasks or self._later.get(number, -inf) > self._parts.clock.monotonic()

    def _may_wait(self, case: _Case) -> bool:
        """Whether an item may be its letter's reply, and is young enough to be judged later."""
        return not case.not_passed and self._parts.clock.now() - case.item.at < PATIENCE

    def _put_off(self, item: InboundItem) -> None:
        now = self._parts.clock.monotonic()
        self._later = {number: at for number, at in self._later.items() if at > now}
        self._later[item.id] = now + LATER_SECONDS
        _log.info("reply-put-off", inbound=item.id)

    async def stop(self) -> None:
        """End what is under way; another life takes it up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            # Bounded: asyncio.wait_for of Python 3.11, which the SPF evaluation uses, can swallow a cancellation.
            await asyncio.wait(tasks, timeout=_STOP_SECONDS)

    async def _settle(self, case: _Case, settle: Settle) -> None:
        item = case.item
        try:
            async with asyncio.timeout(SECONDS):
                hearing = await self._hear(case)
        except SpoolUnavailableError as error:
            _log.warning("answer-failed", inbound=item.id, error=error)
            return
        except (TimeoutError, _UnansweredError):
            if self._may_wait(case):
                self._put_off(item)
                return
            hearing = _heard(item, "it could not be judged in time")
        except Exception:  # noqa: BLE001 - one mail that breaks the judging is kept as it is
            _log.exception("answer-broken", inbound=item.id)
            hearing = _heard(item, "it could not be judged; the log says more")
        try:
            await settle(hearing)
        except SpoolUnavailableError as error:
            _log.warning("sort-failed", inbound=item.id, error=error)

    async def _hear(self, case: _Case) -> Hearing:
        """What follows from a person's reply. Raises SpoolUnavailableError."""
        parts, item, author = self._parts, case.item, case.mail.authors[0]
        evidence = Evidence(parts.node_name, item.peer, item.helo, item.reverse_path, item.content or b"")
        judged = await judge(parts.resolver, evidence, [author.domain])
        if item.address.purpose is not Purpose.REPLY:
            why = "" if judged.dmarc.result == "pass" else f"DMARC {judged.dmarc.result}: {judged.dmarc.why}"[:300]
            return _heard(item, why or await self._answer(item, case.mail, _written_to(item)))
        if _may_differ_later(judged) and self._may_wait(case):
            raise _UnansweredError
        # Of who answers a letter nothing is kept: no domain, that is, either.
        passed = await self._pass_on(case) if _is_vouched_for(judged, author) else "nothing vouches for it"
        if isinstance(passed, Hearing):
            return passed
        why = "" if judged.dmarc.result == "pass" else f"DMARC {judged.dmarc.result}"
        letters_from = case.sent.reverse_path if case.sent is not None else None
        why = why or await self._answer(item, case.mail, letters_from if isinstance(letters_from, Address) else None)
        return _heard(item, why, passed)

    async def _pass_on(self, case: _Case) -> Hearing | str:
        """Its words on their way to the front, or why not. Raises SpoolUnavailableError."""
        if case.not_passed or case.sent is None:
            return case.not_passed
        if not await self._parts.replies.has_room(case.sent.message):
            return "the letter has its reply, or too many wait"
        words = await asyncio.to_thread(read_reply_text, case.item.content or b"")
        if not words:
            return "it has no words of its own"
        return Hearing(Followed.PASSED_ON, "the first reply to a letter, by who got it", words=words)

    async def _answer(self, item: InboundItem, mail: Incoming, sender: Address | None) -> str:
        """Answer as `sender`, and "": or why not. Raises SpoolUnavailableError."""
        parts, author = self._parts, mail.authors[0]
        if not parts.words:
            return _NO_WORDS
        if sender is None:
            return "the address it was written to cannot be used as a From"
        if await stops_for(parts.suppressions, parts.tenant, "", [author]):
            return "its author is under a standing refusal"
        if not await parts.ledger.may_answer(parts.hasher.of_mailbox(author), item.id, ONCE_IN):
            return f"its author was answered in the last {ONCE_IN.days} days"
        message = await parts.prepare(self._submission(sender, author, mail))
        if isinstance(message, Refusal):
            _log.error("answer-refused", inbound=item.id, reply=message.reply)
            return "the answer was refused"
        key = f"relay: answer {item.id}"
        idempotency = Idempotency(key, hashlib.sha256(key.encode()).digest())
        receipt = await parts.spool.accept(replace(message, lease_to=None, idempotency=idempotency))
        _log.info("answered", inbound=item.id, id=receipt.id)
        return ""

    def _submission(self, sender: Address, author: Address, mail: Incoming) -> Submission:
        answered = next((value for name, value in mail.fields if name == "message-id"), "")
        french = prefers_french(author, mail.fields)
        return Submission(
            door=Door.NOTICE,
            identity=Identity(self._parts.tenant, "", None, "answer", (sender.domain,)),
            envelope=Envelope(NULL_PATH, (Recipient(author),), smtputf8=author.needs_smtputf8),
            content=build_auto_reply(self._parts.words, sender, author, answered, french_first=french),
        )


def _why_nobodys(item: InboundItem, mail: Incoming, sent: SentDelivery | None) -> str:
    """Why a mail is not for the writer of a letter, whoever vouches for it; "" for one that may be."""
    if item.address.purpose is not Purpose.REPLY:
        return "it answers no letter"
    if not _is_written_to(mail, item.address.address):
        return "it was not written to the letter's address"
    if sent is None or sent.recipient is None:
        return "its letter is forgotten"
    try:
        recipient = parse_address(sent.recipient)
    except AddressError:
        return "its letter went to no mailbox"
    if len(mail.authors) != 1 or mailbox_form(mail.authors[0]) != mailbox_form(recipient):
        return "somebody else wrote it than who got the letter"
    return ""


def _written_to(item: InboundItem) -> Address | None:
    try:
        return parse_address(item.address.address)
    except AddressError:
        return None


class _UnansweredError(Exception):
    """The DNS did not say who may send for an author."""


def _may_differ_later(judged: Judged) -> bool:
    """Whether nothing vouches for a mail, and the DNS failed to answer a question."""
    results = {judged.spf.result, judged.dmarc.result, *(one.result for one in judged.dkim)}
    return "temperror" in results and judged.dmarc.result != "pass"


def _is_vouched_for(judged: Judged, author: Address) -> bool:
    """Whether the author's domain vouches for the mail: by DMARC or, where it publishes none, by its very name."""
    if judged.dmarc.result != "none":
        return judged.dmarc.result == "pass"
    passed = {one.domain for one in judged.dkim if one.result == "pass"}
    if judged.spf.result == "pass":
        passed.add(judged.spf.domain)
    return author.domain in passed


def _is_written_to(mail: Incoming, address: str) -> bool:
    """Whether its only To names the address: a signature binds no envelope, so that any mail that its recipient once
    wrote to anybody could be handed in here again.
    """
    named = [value for name, value in mail.fields if name == "to"]
    return len(named) == 1 and address.lower() in named[0].lower()


def _heard(item: InboundItem, why_silent: str, not_passed: str = "") -> Hearing:
    """That a reply was answered, or why it was not; and why it was not passed on."""
    what = "a reply to a letter" if item.address.purpose is Purpose.REPLY else "a reply to a From address"
    what += f", not passed on: {not_passed}" if not_passed else ""
    if why_silent:
        return Hearing(Followed.KEPT, f"{what}, not answered: {why_silent}")
    return Hearing(Followed.ANSWERED, f"{what}, and its author is who he says")


def read_incoming(item: InboundItem) -> Incoming:
    """What of an item decides; a header that two receivers could read differently names no author."""
    try:
        header, _ = split_content(item.content or b"")
        fields = parse_fields(header)
        named = [one for one in fields if one.key == b"from"]
        authors = parse_mailboxes(named[0].value) if len(named) == 1 else ()
    except HeaderError:
        return Incoming(item.reverse_path, (), ())
    texts = [(one.key.decode("ascii", "replace"), one.value.decode("utf-8", "replace")) for one in fields]
    return Incoming(item.reverse_path, authors, texts)
