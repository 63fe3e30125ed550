"""Who must get no more mail, and for how long: the rules of suppression. Pure.

What a person says (an opt-out, a complaint, an operator's word) holds for good. What a host says about an address
holds for a time that grows each time it proves true, and only if it was said about the address: a refusal for
policy, reputation, rate or content suppresses nobody (G13, P05).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never


class Reason(StrEnum):
    """Why an address is under a standing refusal, or free of some."""

    HARD_BOUNCE = "hard-bounce"
    """Its host says that nobody has it."""
    SOFT_BOUNCE = "soft-bounce"
    """Delivery failed again and again for the address's own sake: a full mailbox, an account asleep."""
    COMPLAINT = "complaint"
    """The recipient called our mail unwanted."""
    OPT_OUT = "opt-out"
    """The recipient asked for no more."""
    MANUAL = "manual"
    """The operator or the tenant said so."""
    ALLOWED = "allowed"
    """Not a refusal: bounces do not stop mail to this address."""

    @property
    def of_a_host(self) -> bool:
        """Whether a host said it: then the address may be free again one day, and `ALLOWED` outweighs it."""
        return self in (Reason.HARD_BOUNCE, Reason.SOFT_BOUNCE)

    @property
    def of_the_recipient(self) -> bool:
        """Whether the recipient said it: then nobody else takes it back by the way."""
        return self in (Reason.COMPLAINT, Reason.OPT_OUT)

    @property
    def of_a_person(self) -> bool:
        """Whether somebody said that there is to be no more mail: nobody learns that again by sending."""
        return self.of_the_recipient or self is Reason.MANUAL


_WEIGHT: Final = (Reason.OPT_OUT, Reason.COMPLAINT, Reason.MANUAL, Reason.HARD_BOUNCE, Reason.SOFT_BOUNCE)

GONE: Final = frozenset({"unknown-user", "mailbox-gone", "inactive", "moved"})
"""Meanings of a permanent refusal that say: mail to this address is in vain."""

PASSING: Final = frozenset({"mailbox-full", "unavailable", "inactive"})
"""Meanings that are about the address and may pass: repeated, they suppress for a while."""

UNWANTED: Final = frozenset({"abuse", "fraud", "virus", "complaint"})
"""Feedback types that are complaints (RFC 5965 §7.3); `not-spam` and `auth-failure` are none (N02)."""


@dataclass(frozen=True, slots=True)
class SuppressionRules:
    """How long what a host said holds, and how many soft bounces make one suppression."""

    hard_bounce: timedelta = timedelta(days=90)
    soft_bounce: timedelta = timedelta(days=14)
    soft_bounces: int = 5
    """Failed messages in a row, none delivered between them."""
    soft_span: timedelta = timedelta(days=3)
    """They must be spread over at least this long: one bad afternoon proves nothing."""
    soft_memory: timedelta = timedelta(days=30)
    """After so long without another one, counting starts again."""
    longest: timedelta = timedelta(days=730)

    def hold(self, reason: Reason, times: int) -> timedelta | None:
        """How long the `times`-th suppression of an address for this reason holds; None is for good."""
        match reason:
            case Reason.HARD_BOUNCE:
                base = self.hard_bounce
            case Reason.SOFT_BOUNCE:
                base = self.soft_bounce
            case Reason.COMPLAINT | Reason.OPT_OUT | Reason.MANUAL | Reason.ALLOWED:
                return None
            case _:
                assert_never(reason)
        return min(base * (1 << min(times - 1, 16)), self.longest)


@dataclass(frozen=True, slots=True)
class Strikes:
    """Soft bounces of one address so far."""

    times: int
    first: datetime
    last: datetime


def strike(earlier: Strikes | None, at: datetime, rules: SuppressionRules) -> tuple[Strikes, bool]:
    """The strikes with another one at `at`, and whether they suppress the address."""
    if earlier is None or at - earlier.last > rules.soft_memory:
        now = Strikes(1, at, at)
    else:
        now = Strikes(earlier.times + 1, min(earlier.first, at), max(earlier.last, at))
    return now, now.times >= rules.soft_bounces and now.last - now.first >= rules.soft_span


@dataclass(frozen=True, slots=True)
class Refused:
    """What a failure said: its meaning (a reason of the bounce rules), how far it reaches, whether it was permanent."""

    meaning: str
    scope: str
    permanent: bool


def bounce_reason(refused: Refused) -> Reason | None:
    """What a final failure says of the address: a hard bounce, a soft one to count, or nothing.

    Only what is about the recipient counts, so a block of our address or a refusal of the content never does.
    """
    if refused.scope != "recipient":
        return None
    if refused.permanent and refused.meaning in GONE:
        return Reason.HARD_BOUNCE
    return Reason.SOFT_BOUNCE if refused.meaning in PASSING else None


def feedback_reason(feedback_type: str) -> Reason | None:
    """What a feedback report says of its recipient."""
    word = feedback_type.strip().lower()
    if word in ("opt-out", "opt-out-list"):
        return Reason.OPT_OUT
    return Reason.COMPLAINT if word in UNWANTED else None


@dataclass(frozen=True, slots=True)
class Mark:
    """A row about an address that may be in force: its reason, where it holds, until when (None: for good)."""

    reason: Reason
    tenant: int
    """0: every tenant."""
    stream: str
    """"": every stream."""
    until: datetime | None
    since: datetime


def in_force(marks: Sequence[Mark], tenant: int, stream: str, now: datetime) -> Mark | None:
    """The mark that stops mail of this tenant and stream, the weightiest if several do; None when it may go."""
    standing = [
        mark
        for mark in marks
        if mark.tenant in (0, tenant) and mark.stream in ("", stream) and (mark.until is None or mark.until > now)
    ]
    allowed = any(mark.reason is Reason.ALLOWED for mark in standing)
    stops = [mark for mark in standing if mark.reason is not Reason.ALLOWED and not (allowed and mark.reason.of_a_host)]
    return min(stops, key=lambda mark: _WEIGHT.index(mark.reason), default=None)
