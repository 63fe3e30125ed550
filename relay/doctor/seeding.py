"""Inbox or junk: a letter to each of the operator's own mailboxes, through the relay, and where it arrived.

Beside the other checks, because it sends mail: `leak doctor --seeds` alone asks for it. A mailbox that cannot be opened
gets no letter. Every wait ends: the search after `wait` seconds, each word with a server by the mailbox's own time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from relay.account.identity import Identity
from relay.clock import Clock
from relay.doctor.finding import Finding, Severity
from relay.doctor.mailbox import Found, Mailbox, MailboxError
from relay.doctor.seed_header import read_header
from relay.engine.submission import Intake, Refusal, Submission
from relay.errors import SpoolUnavailableError
from relay.figures.seeds import Landing, SeedLetter
from relay.ids import Entropy, SpoolId, new_message_id
from relay.mail.address import Address
from relay.mail.compose import Draft, compose
from relay.mail.envelope import Envelope, Recipient
from relay.policy.state import State
from relay.spool.contract import Spool
from relay.spool.explaining import last_words
from relay.spool.work import Door

ID: Final = "seeds"
STREAM: Final = "seeds"
_EVERYWHERE: Final = 4
"""Every so many looks go into all folders; the others into those where mail comes in."""
_SLOW: Final = 300.0
_BAD: Final = frozenset({"fail", "softfail", "permerror", "temperror", "none", "policy"})


@dataclass(frozen=True, slots=True)
class Seed:
    """A mailbox of the operator's own."""

    name: str
    address: Address
    mailbox: Mailbox
    remove: bool = False


@dataclass(frozen=True, slots=True)
class Seeding:
    """What letters to seeds need: the way in, the spool that knows their fate, and who they are from."""

    intake: Intake
    spool: Spool
    identity: Identity
    sender: Address
    own_names: frozenset[str]
    clock: Clock
    entropy: Entropy
    wait: float
    pause: float = 5.0
    """Seconds between two looks into a mailbox."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What is known of one seed; `letter` is None when none was sent."""

    finding: Finding
    letter: SeedLetter | None = None


async def try_seeds(means: Seeding, seeds: Sequence[Seed], told: Callable[[SeedResult], None]) -> list[SeedResult]:
    """All at once; `told` hears of each as it ends."""

    async def one(seed: Seed) -> SeedResult:
        result = await _try(means, seed)
        told(result)
        return result

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one(seed), name=f"seed {seed.name}") for seed in seeds]
    return [task.result() for task in running]


async def _try(means: Seeding, seed: Seed) -> SeedResult:
    try:
        await asyncio.to_thread(seed.mailbox.open)
    except MailboxError as error:
        return SeedResult(_unread(seed.name, error, "no letter was sent"))
    try:
        return await _send_and_look(means, seed)
    except SpoolUnavailableError as error:
        return SeedResult(Finding(ID, seed.name, Severity.UNKNOWN, f"the spool cannot be used: {error}"))
    finally:
        await asyncio.to_thread(seed.mailbox.close)


async def _send_and_look(means: Seeding, seed: Seed) -> SeedResult:
    message_id = new_message_id(means.sender.domain, means.entropy)
    sent = means.clock.now()
    answer = await means.intake.submit(_submission(means, seed, message_id))
    if isinstance(answer, Refusal):
        evidence = f"the relay itself does not take the letter: {answer.reply}"
        return SeedResult(Finding(ID, seed.name, Severity.ERROR, evidence, "see doctor.seed_sender"))
    letter, trouble, looks = SeedLetter(seed.name, sent, Landing.WAITING), None, 0
    until = means.clock.monotonic() + means.wait
    while letter.landing is Landing.WAITING:
        last = means.clock.monotonic() >= until
        state, words = await _fate(means.spool, answer.id)
        if state.final and state is not State.DELIVERED:
            finding = Finding(ID, seed.name, Severity.ERROR, f"{state.label}: {words}", f"see leak message {answer.id}")
            return SeedResult(finding, replace(letter, landing=Landing.REFUSED))
        if state is State.DELIVERED:
            looks += 1
            try:
                everywhere = last or looks % _EVERYWHERE == 0
                found = await asyncio.to_thread(seed.mailbox.find, message_id, everywhere=everywhere)
                trouble = None
            except MailboxError as error:
                found, trouble = None, error
            if found is not None:
                return await _read(means, seed, letter, message_id, found)
        if last:
            return _over(means, letter, state, words, trouble)
        await asyncio.sleep(min(means.pause, max(0.0, until - means.clock.monotonic())))
    raise AssertionError(letter)


def _submission(means: Seeding, seed: Seed, message_id: str) -> Submission:
    """An ordinary small letter of people's words: what is measured is the sender, not the content."""
    at = means.clock.now()
    draft = Draft(
        sender=("", means.sender),
        to=(("", seed.address),),
        subject=f"Our letter of {at:%d %B, %H:%M}",
        text=(
            f"Hello,\n\nthis letter was sent by our own mail server, {means.sender.domain}, to a mailbox of ours,"
            " to see how long it takes and in which folder it arrives.\n\nNothing needs to be done about it.\n"
        ),
    )
    content = f"Message-ID: {message_id}\r\n".encode() + compose(draft, means.entropy)
    envelope = Envelope(means.sender, (Recipient(seed.address),))
    return Submission(Door.HTTP, means.identity, envelope, content, stream=STREAM, unsubscribe=False)


async def _fate(spool: Spool, message: SpoolId) -> tuple[State, str]:
    view = await spool.message(message)
    if view is None or not view.deliveries:
        return State.CANCELLED, "the spool knows nothing of it any more"
    delivery = view.deliveries[0]
    return delivery.state, last_words(view, delivery)


async def _read(means: Seeding, seed: Seed, letter: SeedLetter, message_id: str, found: Found) -> SeedResult:
    told = read_header(found.header, means.own_names)
    letter = replace(
        letter,
        landing=found.landing,
        folder=found.folder,
        spf=told.spf,
        dkim=told.dkim,
        dmarc=told.dmarc,
        tls=told.tls,
        delay=_delay(letter.sent, found.arrived),
    )
    finding = judge(letter, told.filter)
    if seed.remove:
        try:
            await asyncio.to_thread(seed.mailbox.remove, found.folder, message_id)
        except MailboxError as error:
            finding = replace(finding, evidence=f"{finding.evidence}; it could not be removed: {error}")
    return SeedResult(finding, letter)


def _delay(sent: datetime, arrived: datetime) -> float:
    """By two clocks, theirs in whole seconds: never below zero."""
    return max(0.0, (arrived - sent).total_seconds())


def _over(means: Seeding, letter: SeedLetter, state: State, words: str, trouble: MailboxError | None) -> SeedResult:
    """The time is over and the letter was not found."""
    time = f"{means.wait:.0f} s"
    if state is not State.DELIVERED:
        why = words or "nobody tried to deliver it: does the node run?"
        remedy = "`leak queue` shows what stands in the way; it goes on by itself"
        finding = Finding(ID, letter.seed, Severity.WARNING, f"still in the queue after {time}: {why}", remedy)
        return SeedResult(finding, letter)
    if trouble is not None:
        return SeedResult(_unread(letter.seed, trouble, "the letter was delivered"))
    evidence = f"the provider took it ({words or '250'}), and it is in no folder after {time}"
    remedy = "look into the mailbox later; a provider that drops mail unsaid mostly judges the sender's address"
    missing = replace(letter, landing=Landing.MISSING)
    return SeedResult(Finding(ID, letter.seed, Severity.ERROR, evidence, remedy), missing)


def _unread(name: str, error: MailboxError, beside: str) -> Finding:
    return Finding(ID, name, Severity.UNKNOWN, f"{error}; {beside}", error.remedy or "see `imap` of this seed")


def judge(letter: SeedLetter, filter_words: str = "") -> Finding:
    """What a letter that was found says about us."""
    remedies = list(_remedies(letter))
    severity = max((one for one, _ in remedies), key=lambda one: one.rank, default=Severity.OK)
    evidence = describe(letter) + (f"; {filter_words}" if filter_words and letter.landing is Landing.JUNK else "")
    return Finding(ID, letter.seed, severity, evidence, "; ".join(text for _, text in remedies))


def describe(letter: SeedLetter) -> str:
    """A letter in one line."""
    parts = [letter.landing.value if letter.landing is not Landing.OTHER else f"folder {letter.folder}"]
    if letter.delay is not None:
        parts[0] += f" after {letter.delay:.0f} s" if letter.delay < _SLOW else f" after {letter.delay / 60:.0f} min"
    results = [f"{name}={value}" for name, value in _results(letter) if value]
    parts.append(" ".join(results) or "no authentication results")
    parts.append({"yes": "TLS", "no": "no TLS", "": "TLS not told"}.get(letter.tls, letter.tls))
    return "; ".join(parts)


def _results(letter: SeedLetter) -> Iterable[tuple[str, str]]:
    return (("spf", letter.spf), ("dkim", letter.dkim), ("dmarc", letter.dmarc))


def _remedies(letter: SeedLetter) -> Iterable[tuple[Severity, str]]:
    """What is not as it should be, and what to do."""
    for name, value in _results(letter):
        if value in _BAD:
            severity = Severity.ERROR if name == "dmarc" and value == "fail" else Severity.WARNING
            yield severity, f"{name} does not pass there: `leak doctor --only {name}`"
    if letter.landing is Landing.JUNK:
        yield Severity.WARNING, "junk: see docs/first-month.md; mark it as no junk only after looking for the cause"
    if letter.landing is Landing.OTHER:
        yield Severity.NOTE, "a filter of that mailbox moved it"
    if letter.tls == "no":
        yield Severity.WARNING, "it was handed in without TLS: `leak message` shows why"
    if letter.delay is not None and letter.delay >= _SLOW:
        yield Severity.NOTE, "slow: `leak queue` and the provider's replies say where it waited"
    if not any(value for _, value in _results(letter)):
        yield Severity.NOTE, "that server writes no Authentication-Results: others tell more"
