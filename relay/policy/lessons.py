"""What events teach: figures to count, addresses to suppress, soft bounces to forgive. Pure.

Stands between the stream of events and the step that writes what follows from it. The same events give the same
lessons, so that a batch that was read twice and written once counts once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

from relay.event import EventKind
from relay.event.feed import FeedEvent
from relay.mail.address import Address, AddressError, parse_address
from relay.policy.suppress import Reason, Refused, bounce_reason, feedback_reason

COUNTED: Final = frozenset(EventKind) - {EventKind.ATTEMPTED, EventKind.HELD, EventKind.RELEASED}
"""Kinds that reports count; what is held and released is the queue's."""

OTHER: Final = "other"
"""The provider of hosts that belong to none we know."""

MAX_REASON: Final = 40

GREYLISTED: Final = "greylisted"


class Figure(NamedTuple):
    """What is counted together; `hour` in hours since the epoch."""

    hour: int
    tenant: int
    stream: str
    provider: str
    kind: int
    reason: str


@dataclass(frozen=True, slots=True)
class Deed:
    """An address to suppress, or to count a soft bounce of."""

    tenant: int
    address: Address
    reason: Reason
    stream: str
    detail: str
    """What happened, without who it happened to."""
    delivery: str
    """Whose event it was: a message's id and a number."""
    at: datetime


class TrialKind(StrEnum):
    """What a provider answered to a letter of a source that warms up."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    """For now, and about us: greylisting and what is about a recipient say nothing of a source."""
    BOUNCED = "bounced"
    COMPLAINED = "complained"


class Trial(NamedTuple):
    """One answer; it counts for the warm-up that the delivery left by, if it did by one."""

    message: str
    n: int
    kind: TrialKind
    at: datetime


@dataclass(frozen=True, slots=True)
class Lessons:
    """What a batch of events teaches."""

    figures: Counter[Figure] = field(default_factory=Counter)
    deeds: list[Deed] = field(default_factory=list)
    delivered: list[tuple[int, Address]] = field(default_factory=list)
    """(tenant, address) of what was delivered: soft bounces of theirs are forgiven."""
    trials: list[Trial] = field(default_factory=list)


def learn(events: Sequence[FeedEvent], provider_of: Callable[[str, str], str]) -> Lessons:
    """The lessons of events; `provider_of` tells whose a host, else a recipient's domain, is ("" = nobody we know)."""
    lessons = Lessons()
    for event in events:
        if not event.sender:
            continue  # our own reports, and others': they are nobody's mail to anybody
        address = _address(event)
        if event.kind in COUNTED and not event.detail.get("late"):
            lessons.figures[_figure(event, provider_of)] += 1
            if (kind := _trial(event)) is not None and event.n is not None:
                lessons.trials.append(Trial(event.message, event.n, kind, event.at))
        if address is None:
            continue
        if event.kind is EventKind.DELIVERED:
            lessons.delivered.append((event.tenant, address))
        elif (deed := _deed(event, address)) is not None:
            lessons.deeds.append(deed)
    return lessons


def _figure(event: FeedEvent, provider_of: Callable[[str, str], str]) -> Figure:
    hour = int(event.at.timestamp()) // 3600
    provider = ""
    if event.n is not None:
        domain = (event.address or "").rpartition("@")[2]
        provider = provider_of(str(event.detail.get("host", "")), domain) or OTHER
    return Figure(hour, event.tenant, event.stream, provider, int(event.kind), _reason(event))


def _trial(event: FeedEvent) -> TrialKind | None:
    match event.kind:
        case EventKind.DELIVERED:
            return TrialKind.DELIVERED
        case EventKind.COMPLAINED:
            return TrialKind.COMPLAINED
        case EventKind.RETURNED:
            return TrialKind.BOUNCED if event.detail.get("permanent") is True else None
        case EventKind.BOUNCED | EventKind.EXPIRED | EventKind.DEFERRED:
            if event.detail.get("decided_by") != "remote":
                return None
            if event.detail.get("result") == "permanent":
                return TrialKind.BOUNCED
            diagnosis = event.detail.get("diagnosis")
            told = diagnosis if isinstance(diagnosis, Mapping) else {}
            about_us = told.get("scope") != "recipient" and told.get("meaning") != GREYLISTED
            return TrialKind.DEFERRED if about_us else None
        case _:
            return None


def _reason(event: FeedEvent) -> str:
    """One word for why; bounded, for some of it comes from outside."""
    diagnosis = event.detail.get("diagnosis")
    if isinstance(diagnosis, Mapping):
        word = diagnosis.get("meaning")
    elif event.kind in (EventKind.RETURNED, EventKind.SUPPRESSED):
        word = event.detail.get("reason")
    elif event.kind is EventKind.COMPLAINED:
        word = event.detail.get("feedback_type")
    else:
        word = ""
    return str(word or "")[:MAX_REASON]


def _deed(event: FeedEvent, address: Address) -> Deed | None:
    reason: Reason | None = None
    stream = ""
    match event.kind:
        case EventKind.BOUNCED | EventKind.EXPIRED | EventKind.RETURNED:
            refused = _refused(event)
            reason = None if refused is None else bounce_reason(refused)
        case EventKind.COMPLAINED:
            reason = feedback_reason(str(event.detail.get("feedback_type", "")))
        case EventKind.OPTED_OUT:
            reason, stream = Reason.OPT_OUT, event.stream
        case _:
            pass
    if reason is None:
        return None
    detail = " ".join(filter(None, (event.kind.label, _reason(event), str(event.detail.get("reply", ""))[:200])))
    return Deed(event.tenant, address, reason, stream, detail, f"{event.message}.{event.n}", event.at)


def _refused(event: FeedEvent) -> Refused | None:
    """What a failure said; None when it was no host's word about the mail."""
    detail = event.detail
    if event.kind is EventKind.RETURNED:
        permanent = detail.get("permanent") is True
        return Refused(str(detail.get("reason", "")), str(detail.get("scope", "")), permanent)
    diagnosis = detail.get("diagnosis")
    if detail.get("decided_by") != "remote" or not isinstance(diagnosis, Mapping):
        return None
    permanent = event.kind is EventKind.BOUNCED and detail.get("result") == "permanent"
    # How far the outcome reached and how far the meaning does must agree: a host's 421 is about no address.
    scope = str(diagnosis.get("scope", "")) if detail.get("scope") in _OF_THE_MAIL else ""
    return Refused(str(diagnosis.get("meaning", "")), scope, permanent)


_OF_THE_MAIL: Final[frozenset[Any]] = frozenset({"recipient", "message"})


def _address(event: FeedEvent) -> Address | None:
    if event.address is None:
        return None
    try:
        return parse_address(event.address, require_fqdn=False, allow_literal=True)
    except AddressError:
        return None
