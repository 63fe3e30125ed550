"""Feedback: sorts what came in from outside, after it was committed and answered (step 11 of a message's path).

Each item is read, decided by `relay.policy.hearing` and settled in one transaction. Whoever dies in between leaves
the item unsorted, and any worker's next sweep takes it up; sorting twice changes nothing the second time. What was
left is a suspect: each life notes on disk that it begins with it, and one that killed its readers `TRIES` times is
put aside unread (R33). Owns one task; reading runs in a thread, for a large report takes a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.engine.answering import Answers
from relay.engine.reissue import Reissues
from relay.errors import SpoolUnavailableError
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
from relay.spool.inbound_values import UNREAD, Consequence, InboundItem, NewReport, SentDelivery
from relay.tokens import Token, TokenKind, Tokens, subject_delivery

_log = Log("feedback")

SWEEP_SECONDS: Final = 30.0
"""How often a worker looks for items that nobody sorted."""
ABANDONED: Final = timedelta(seconds=20)
"""Age from which another worker's item counts as abandoned."""
BATCH: Final = 100
TRIES: Final = 3
"""Readers that an item may take with it: the first was not noted, the others were."""
MAX_WAITING: Final = 5000
"""Numbers of new items held in memory; the sweep finds the others."""

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
class _Found:
    """The delivery a token names; `wide` if it names no more than the message."""

    sent: SentDelivery | None
    wide: bool = False


_NOTHING: Final = _Found(None)


class Feedback:
    """Sorts. `reported` gives the domains that reports are kept about.

    `unsubscribe` None: what comes to such an address is shown to a person; `answers` None: none is given.
    """

    def __init__(
        self,
        store: InboundStore,
        spool: Spool,
        tokens: Tokens,
        reissues: Reissues,
        classifier: Classifier,
        clock: Clock,
        keep: timedelta,
        reported: Callable[[], Awaitable[frozenset[str]]],
        unsubscribe: Unsubscribe | None = None,
        answers: Answers | None = None,
    ) -> None:
        self._store = store
        self._spool = spool
        self._tokens = tokens
        self._reissues = reissues
        self._classifier = classifier
        self._clock = clock
        self._keep = keep
        self._reported = reported
        self._unsubscribe = unsubscribe
        self._answers = answers
        self._waiting: list[int] = []
        self._left: set[int] = set()
        """Items that somebody left unsorted, and that this life has not noted yet."""
        self._noted: set[int] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with what an earlier life left."""
        self._task = asyncio.create_task(self._run(), name="feedback")

    async def stop(self) -> None:
        """End the task; what is not sorted waits in the spool."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._answers is not None:
            await self._answers.stop()

    def came(self, numbers: list[int]) -> None:
        """These items were committed just now."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting += numbers
        self._wake.set()

    async def _run(self) -> None:
        more = await self._sweep(timedelta())
        swept = self._clock.monotonic()
        while True:
            if self._clock.monotonic() - swept >= SWEEP_SECONDS:
                swept = self._clock.monotonic()
                more = await self._sweep(ABANDONED)
                await self._forget()
            if self._waiting:
                # After a failure the next sweep is soon enough: the spool cannot be written just now.
                more = await self._sort_safely(self._waiting.pop(0)) and more
                continue
            if more:
                more = await self._sweep(timedelta())
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _sweep(self, age: timedelta) -> bool:
        """Take up items that nobody sorted; whether there may be more of them."""
        try:
            numbers = await self._store.unsorted(self._clock.now() - age, BATCH)
        except SpoolUnavailableError as error:
            _log.warning("sweep-failed", error=error)
            return False
        known = set(self._waiting)
        found = [one for one in numbers if one not in known and not self._is_judged(one)]
        self._waiting += found
        self._left.update(one for one in found if one not in self._noted)
        return len(numbers) == BATCH and bool(found)

    def _is_judged(self, number: int) -> bool:
        """Whether an item is not sorted because others have it: no reader died of it."""
        return self._answers is not None and self._answers.has(number)

    async def _forget(self) -> None:
        try:
            forgotten = await self._store.forget(self._clock.now() - self._keep, BATCH)
        except SpoolUnavailableError as error:
            _log.warning("forget-failed", error=error)
            return
        if forgotten:
            _log.info("forgotten", inbound=forgotten)

    async def _sort_safely(self, number: int) -> bool:
        """Sort an item; False if it cannot be now, and a later sweep finds it again."""
        try:
            if number in self._left and await self._is_poison(number):
                _log.error("sort-kills", inbound=number)
                await self._set_aside(number, f"{TRIES} workers died while they read it")
                self._noted.discard(number)
                return True
            if not await self.sort(number):
                return False
            if self._is_judged(number):
                self._noted.add(number)  # it was read in this life, however often it is found unsorted
            else:
                self._noted.discard(number)
        except SpoolUnavailableError as error:
            _log.warning("sort-failed", inbound=number, error=error)
            return False
        except Exception:  # noqa: BLE001 - one mail that breaks the reader must not stop all others
            _log.exception("sort-broken", inbound=number)
            await self._set_aside(number, "it could not be read; the log says more")
        return True

    async def _is_poison(self, number: int) -> bool:
        """Note once a life that reading begins, before it does; whether so many lives ended with it."""
        begun = await self._store.begin(number)
        self._left.discard(number)
        self._noted.add(number)
        return begun >= TRIES

    async def _set_aside(self, number: int, why: str) -> None:
        try:
            if await self._store.settle(number, Consequence(UNREAD, Followed.SHOWN, {"why": why}, shown=True)):
                said = f"mail {number} came in and was put aside unread: {why}"
                await self._spool.raise_alarm(AlarmKind.INBOUND_UNREAD.value, "inbound", said)
        except SpoolUnavailableError as error:
            _log.warning("sort-failed", inbound=number, error=error)

    async def sort(self, number: int) -> bool:
        """Read one item and settle what follows, or have it judged; False if it has to wait for that.

        Raises SpoolUnavailableError, after which it is still unsorted.
        """
        item = await self._store.item(number)
        if item is None or item.content is None:
            return True
        if item.address.purpose is Purpose.UNSUBSCRIBE and await self._unsubscribed(item):
            return True
        # A letter's reply is kept nowhere else: it waits here rather than go unread.
        if item.address.purpose is Purpose.REPLY and self._answers is not None and self._answers.is_busy(Purpose.REPLY):
            return False
        reading = await asyncio.to_thread(read_report, item.content, self._classifier)
        found = await self._concerned(item, reading)
        if found.wide and reading.kind is not Kind.COMPLAINT:
            found = _NOTHING
        sent = found.sent
        state, recipient = (None, None) if sent is None else (sent.state, sent.recipient)
        hearing = hear(item.address.purpose, reading, state, recipient)
        if item.address.purpose in _PEOPLE_WRITE_TO and reading.kind is Kind.OTHER and self._answers is not None:
            why = self._answers.offer(item, sent, lambda judged: self._settle(item, reading, judged, found))
            if not why:
                return True
            hearing = replace(hearing, why=f"{hearing.why}, not answered: {why}")
        block = concerned(reading.recipients, recipient) if reading.kind is Kind.BOUNCE else None
        # A failure is passed on once it settles the delivery; a delay or a delivery only to who asked for such reports.
        if sent is not None and block is not None and (not block.failed or hearing.followed is Followed.RETURNED):
            await self._reissues.about(sent, reading, block)
        await self._settle(item, reading, hearing, found)
        return True

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
        fresh = await self._store.settle(item.id, consequence)
        self._noted.discard(item.id)
        if not fresh:
            return
        if hearing.shown and item.address.purpose in (Purpose.POSTMASTER, Purpose.ABUSE):
            await self._spool.raise_alarm(
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
        about = min(named & await self._reported(), default="")
        author = _field(item.content or b"", b"from").rpartition("@")[2].strip("> ")
        return NewReport(document.form, about, document.content, reporter_of(item.peer, author))

    async def _unsubscribed(self, item: InboundItem) -> bool:
        """Whether the address itself was enough: who writes to an unsubscribe address wants no more."""
        subject = item.address.subject
        if self._unsubscribe is None or subject is None or not await self._unsubscribe(subject):
            return False
        detail = {"why": "mail to an unsubscribe address"}
        await self._store.settle(item.id, Consequence("unsubscribe", Followed.OPTED_OUT, detail))
        return True

    async def _concerned(self, item: InboundItem, reading: Reading) -> _Found:
        """The delivery that a token of ours names: the address itself, else one in what the report returns (G14)."""
        if item.address.delivery is not None:
            return _Found(await self._store.delivery(*item.address.delivery))
        for text in _possible_tokens(reading):
            token = self._tokens.verify(text)
            if isinstance(token, Token) and token.kind in (TokenKind.RETURN, TokenKind.FEEDBACK):
                try:
                    message, n = subject_delivery(token.subject)
                except ValueError:
                    continue
                sent = await self._store.delivery(message, n)
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
