"""The sorter: reads one item that came in from outside, and settles what follows in one transaction.

`relay.policy.hearing` decides. Sorting twice changes nothing the second time. Reading runs in a thread, for a large
report takes a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from relay.engine.answering import Answers, Offered
from relay.engine.reissue import Reissues
from relay.log import Log
from relay.mail.header import HeaderError, parse_fields, split_content
from relay.policy.alarms import AlarmKind
from relay.policy.hearing import Followed, Hearing, Purpose, concerned, hear
from relay.policy.report_share import reporter_of
from relay.report.aggregate_reading import domains_named
from relay.report.classifier import Classifier
from relay.report.reading import read_report
from relay.report.result import Kind, Reading
from relay.report.words import find_addresses
from relay.spool.contract import Spool
from relay.spool.inbound import InboundStore
from relay.spool.inbound_values import MOST_REPLIES, Consequence, InboundItem, NewReport, SentDelivery
from relay.tokens import Token, TokenKind, Tokens, subject_delivery

_log = Log("feedback")

_LOOPS: Final = {
    "yahoo": "Yahoo",
    "yahooinc": "Yahoo",
    "aol": "Yahoo",
    "hotmail": "Microsoft",
    "outlook": "Microsoft",
    "microsoft": "Microsoft",
    "signal-spam": "Signal Spam",
}
"""Second-level labels of a complaint's From and the loop of the ledger it came by."""
OTHER_LOOP: Final = "other"

_PEOPLE_WRITE_TO: Final = frozenset({Purpose.SENDER, Purpose.REPLY})
"""Addresses at which a person's mail is a reply."""

Unsubscribe = Callable[[bytes], Awaitable[bool]]
"""Acts on the subject of an unsubscribe token; False if it names nobody. Must be harmless when repeated."""


@dataclass(frozen=True, slots=True)
class SorterParts:
    """What is sorted with. `reported` gives the domains that reports are kept about.

    `unsubscribe` None: what comes to such an address is shown to a person; `answers` None: none is given.
    """

    store: InboundStore
    spool: Spool
    tokens: Tokens
    reissues: Reissues
    classifier: Classifier
    reported: Callable[[], Awaitable[frozenset[str]]]
    unsubscribe: Unsubscribe | None = None
    answers: Answers | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """The delivery a token names; `wide` if it names no more than the message."""

    sent: SentDelivery | None
    wide: bool = False


_NOTHING: Final = _Found(None)


class Sorter:
    """Sorts; `settled` is told of each item when that is written, be it later than `sort` came back."""

    def __init__(self, parts: SorterParts, settled: Callable[[int], None]) -> None:
        self._parts = parts
        self._tell_settled = settled

    async def stop(self) -> None:
        """End what is being judged; it waits in the spool."""
        if self._parts.answers is not None:
            await self._parts.answers.stop()

    def is_judged(self, number: int) -> bool:
        """Whether an item is not sorted because others have it: no reader died of it."""
        return self._parts.answers is not None and self._parts.answers.has(number)

    async def sort(self, number: int) -> bool:
        """Read one item and settle what follows, or have it judged; False if it has to wait for that.

        Raises SpoolUnavailableError, after which it is still unsorted.
        """
        answers = self._parts.answers
        item = await self._parts.store.item(number)
        if item is None or item.content is None:
            return True
        if item.address.purpose is Purpose.UNSUBSCRIBE and await self._unsubscribed(item):
            return True
        # A letter's reply is kept nowhere else: it waits here rather than go unread.
        if item.address.purpose is Purpose.REPLY and answers is not None and answers.is_busy(Purpose.REPLY):
            return False
        reading = await asyncio.to_thread(read_report, item.content, self._parts.classifier)
        found = await self._concerned(item, reading)
        if found.wide and reading.kind is not Kind.COMPLAINT:
            found = _NOTHING
        sent = found.sent
        state, recipient = (None, None) if sent is None else (sent.state, sent.recipient)
        hearing = hear(item.address.purpose, reading, state, recipient)
        if item.address.purpose in _PEOPLE_WRITE_TO and reading.kind is Kind.OTHER and answers is not None:
            offered = Offered(item, sent, is_crowded=await self._is_crowded(item))
            why = answers.offer(offered, lambda judged: self._settle(item, reading, judged, found))
            if not why:
                return True
            hearing = replace(hearing, why=f"{hearing.why}, not answered: {why}")
        block = concerned(reading.recipients, recipient) if reading.kind is Kind.BOUNCE else None
        # A failure is passed on once it settles the delivery; a delay or a delivery only to who asked for such reports.
        if sent is not None and block is not None and (not block.failed or hearing.followed is Followed.RETURNED):
            await self._parts.reissues.about(sent, reading, block)
        await self._settle(item, reading, hearing, found)
        return True

    async def _is_crowded(self, item: InboundItem) -> bool:
        """Whether so many wrote to the same letter that no stranger among them is looked into."""
        if item.address.purpose is not Purpose.REPLY or item.address.delivery is None:
            return False
        return (await self._parts.store.replies(*item.address.delivery)).listed > MOST_REPLIES

    async def _settle(self, item: InboundItem, reading: Reading, hearing: Hearing, found: _Found) -> None:
        sent, wide = found.sent, found.wide
        replies = item.address.purpose is Purpose.REPLY
        consequence = Consequence(
            kind=reading.kind.value,
            followed=hearing.followed,
            detail={"why": hearing.why, **({} if replies else _summary(item, reading)), **hearing.told},
            shown=hearing.shown,
            delivery=None if sent is None else (sent.message, None if wide else sent.n),
            event=hearing.event,
            told=hearing.told,
            document=None if replies else await self._document(item, reading),
            loop=_loop(item) if reading.kind is Kind.COMPLAINT and sent is not None and not replies else "",
            words=hearing.words,
            forgets=replies,
        )
        fresh = await self._parts.store.settle(item.id, consequence)
        self._tell_settled(item.id)
        if not fresh:
            return
        if hearing.shown and item.address.purpose in (Purpose.POSTMASTER, Purpose.ABUSE):
            await self._parts.spool.raise_alarm(
                AlarmKind(f"{item.address.purpose.value}-mail").value,
                item.address.address.rpartition("@")[2].lower(),
                "mail waits for a person: leak inbound list",
            )
        _log.info(
            "sorted",
            inbound=item.id,
            purpose=item.address.purpose.value,
            kind=reading.kind.value,
            followed=hearing.followed.value,
            id=sent.message if sent is not None else "",
        )

    async def _document(self, item: InboundItem, reading: Reading) -> NewReport | None:
        """The aggregate report in a mail, with the domain of ours that it is about."""
        document = reading.document
        if document is None:
            return None
        named = await asyncio.to_thread(domains_named, document.form, document.content)
        about = min(named & await self._parts.reported(), default="")
        author = _field(item.content or b"", b"from").rpartition("@")[2].strip("> ")
        return NewReport(document.form, about, document.content, reporter_of(item.peer, author))

    async def _unsubscribed(self, item: InboundItem) -> bool:
        """Whether the address itself was enough: who writes to an unsubscribe address wants no more."""
        subject = item.address.subject
        unsubscribe = self._parts.unsubscribe
        if unsubscribe is None or subject is None or not await unsubscribe(subject):
            return False
        detail = {"why": "mail to an unsubscribe address"}
        wish = Consequence("unsubscribe", Followed.OPTED_OUT, detail, forgets=True)
        await self._parts.store.settle(item.id, wish)
        return True

    async def _concerned(self, item: InboundItem, reading: Reading) -> _Found:
        """The delivery that a token of ours names: the address itself, else one in what the report returns (G14)."""
        if item.address.delivery is not None:
            return _Found(await self._parts.store.delivery(*item.address.delivery))
        for text in _possible_tokens(reading):
            token = self._parts.tokens.verify(text)
            if isinstance(token, Token) and token.kind in (TokenKind.RETURN, TokenKind.FEEDBACK):
                try:
                    message, n = subject_delivery(token.subject)
                except ValueError:
                    continue
                sent = await self._parts.store.delivery(message, n)
                if sent is not None:
                    # The header's token is known to every recipient: it proves nothing about one of several.
                    return _Found(sent, wide=token.kind is TokenKind.FEEDBACK and sent.siblings > 0)
        return _NOTHING


def _possible_tokens(reading: Reading) -> list[str]:
    """Local parts of the paths that a report returns, and the first word of the returned Feedback-ID."""
    addresses = [*reading.returned_to, *reading.addressed_to]
    addresses += find_addresses(reading.original.first("original-mail-from")[:1000])
    found = [one.rpartition("@")[0] for one in addresses]
    found.append(reading.original.first("feedback-id").partition(":")[0].strip())
    return [one for one in found if one][:50]


def _field(content: bytes, name: bytes) -> str:
    """The first field of that name in a stranger's header, "" if it cannot be found."""
    try:
        header, _ = split_content(content[: 64 * 1024])
        return next((one.value.decode("utf-8", "replace") for one in parse_fields(header) if one.key == name), "")
    except HeaderError:
        return ""


def _summary(item: InboundItem, reading: Reading) -> dict[str, str]:
    """What a person sees in the list: who says it is from whom, about what; unproven, and bounded."""
    content = item.content or b""
    told = {"from": _field(content, b"from")[:200], "subject": _field(content, b"subject")[:200]}
    if reading.message_id:
        told["message_id"] = reading.message_id[:200]
    return {key: value for key, value in told.items() if value}


def _loop(item: InboundItem) -> str:
    """The loop a complaint came by, for the ledger; only names we know, or a stranger could fill it."""
    domain = _field(item.content or b"", b"from").rpartition("@")[2].lower().strip("> ")
    return next((_LOOPS[label] for label in domain.split(".") if label in _LOOPS), OTHER_LOOP)
