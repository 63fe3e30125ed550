"""What follows from a mail that came back: a pure decision over what it says and the delivery its token names.

Between the reader (`relay.report.reading`) and the transaction that settles (`relay.spool.inbound`). Nothing that a
report says counts unless a token of ours names a delivery (G14, S22); what names none is shown to a person, never
dropped and never answered (G16). RETURNED comes only from DELIVERED.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, assert_never

from relay.event import EventKind
from relay.policy.state import State
from relay.report.result import Kind, Reading, Recipient

MAX_WORDS: Final = 1000
"""Characters of a reporter's words that are kept with an event."""

_ADDRESS = re.compile(r"[^\s<>@,;:()]{1,64}@[^\s<>@,;:()]{1,255}")
_OPT_OUT: Final = frozenset({"opt-out", "opt-out-list"})


class Purpose(StrEnum):
    """What an address of ours is for."""

    RETURN = "return"
    """A return token: whatever comes is about the delivery it names."""
    UNSUBSCRIBE = "unsubscribe"
    """An unsubscribe token, by mail (RFC 2369 §3.2)."""
    FEEDBACK = "feedback"
    """Where feedback loops send complaints."""
    REPORTS = "reports"
    """Where DMARC and TLS reports go."""
    POSTMASTER = "postmaster"
    ABUSE = "abuse"
    SENDER = "sender"
    """A From address that mail was sent with."""
    REPLY = "reply"
    """A reply token: an answer to the letter it names. Of such mail nothing is kept but words that are passed on."""


class Followed(StrEnum):
    """What followed from one mail to one address."""

    RETURNED = "returned"
    """A delivery became RETURNED."""
    RECORDED = "recorded"
    """Written down; it changes no state."""
    COMPLAINED = "complained"
    OPTED_OUT = "opted-out"
    STORED = "stored"
    """An aggregate report, kept for the operator."""
    SHOWN = "shown"
    """A person should look: nothing follows by itself."""
    PASSED_ON = "passed-on"
    """The words of a reply wait for the front that sent the letter."""
    ANSWERED = "answered"
    """A program told its author that nobody reads the address."""
    KEPT = "kept"
    """Of no consequence: kept silently until its time is over."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """The decision: what follows, the event it makes with what it tells, and why, for a person who asks."""

    followed: Followed
    why: str
    event: EventKind | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    words: str = field(default="", repr=False)
    """Those of a reply that is passed on."""

    @property
    def shown(self) -> bool:
        """Whether a person should look."""
        return self.followed is Followed.SHOWN


def hear(purpose: Purpose, reading: Reading, state: State | None, recipient: str | None) -> Hearing:
    """What follows from `reading` at an address for `purpose`.

    `state` and `recipient` are those of the delivery that a token names; None when none does, `recipient` also when
    its address was erased.
    """
    if purpose is Purpose.REPLY:
        why = "a reply to a letter" if reading.kind is Kind.OTHER else f"no person's reply: {reading.kind.value}"
        return Hearing(Followed.KEPT, why)
    match reading.kind:
        case Kind.BOUNCE:
            return _bounced(reading, state, recipient)
        case Kind.COMPLAINT:
            return _complained(reading, state)
        case Kind.REPORT:
            return Hearing(Followed.STORED, reading.detail)
        case Kind.AUTO_REPLY:
            return Hearing(Followed.KEPT, "an automatic answer is never a bounce")
        case Kind.CHALLENGE:
            return Hearing(Followed.SHOWN, "the mail waits until its sender proves to be a person")
        case Kind.OTHER:
            if purpose is Purpose.SENDER:
                return Hearing(Followed.KEPT, "a reply to a From address")
            return Hearing(Followed.SHOWN, "no report: somebody wrote, or a program in words nobody knows yet")
        case _:
            assert_never(reading.kind)


def concerned(recipients: Sequence[Recipient], recipient: str | None) -> Recipient | None:
    """The block of a report that speaks of a delivery; the only one does, whatever address it names."""
    for one in recipients:
        if recipient is not None and one.address.lower() == recipient.lower():
            return one
    if len(recipients) == 1:
        return recipients[0]
    return next((one for one in recipients if one.failed), None)


def _bounced(reading: Reading, state: State | None, recipient: str | None) -> Hearing:
    if state is None:
        return Hearing(Followed.SHOWN, "a delivery report that no token of ours matches: nothing is believed of it")
    block = concerned(reading.recipients, recipient)
    if block is None:
        return Hearing(Followed.SHOWN, "a bounce that says about nobody what was done")
    if not block.failed:
        return Hearing(Followed.KEPT, f"says {block.action.value}: only a failure counts")
    told = _told(reading, block)
    if state is State.DELIVERED:
        return Hearing(Followed.RETURNED, reading.detail, EventKind.RETURNED, told)
    if state.final:
        return Hearing(Followed.RECORDED, f"the delivery is {state.label} already")
    return Hearing(
        Followed.RECORDED, f"the delivery is still {state.label}", EventKind.ATTEMPTED, {"result": "reported", **told}
    )


def _complained(reading: Reading, state: State | None) -> Hearing:
    if state is None:
        return Hearing(Followed.SHOWN, "a complaint that no token of ours matches: nothing is believed of it")
    kind = reading.feedback_type
    told = {"feedback_type": kind, "detail": reading.detail}
    if kind in _OPT_OUT:
        return Hearing(Followed.OPTED_OUT, f"feedback type {kind}", EventKind.OPTED_OUT, told)
    if any(one.permanent for one in reading.recipients) or kind in ("abuse", "fraud", "virus"):
        return Hearing(Followed.COMPLAINED, f"feedback type {kind}", EventKind.COMPLAINED, told)
    return Hearing(Followed.RECORDED, f"feedback type {kind} is no complaint")


def _told(reading: Reading, block: Recipient) -> dict[str, Any]:
    """What the event says, without anybody's address."""
    told = {
        "reason": block.reason,
        "permanent": block.permanent,
        "rule": block.rule,
        "scope": block.scope,
        "status": block.status,
        "code": block.code,
        "reply": masked(block.diagnostic),
        "host": masked(block.remote_mta or reading.reporting_mta)[:255],
        "means": reading.means.value,
    }
    return {key: value for key, value in told.items() if value not in ("", None)}


def masked(words: str) -> str:
    """A stranger's words as they may be kept: addresses replaced, one line, bounded."""
    return _ADDRESS.sub("<recipient>", " ".join(words[: 4 * MAX_WORDS].split()))[:MAX_WORDS]
