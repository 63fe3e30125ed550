"""What came in from outside, as values: a mail as it is taken, one address of it as work, and what followed.

Spoken by the inbound door, the engine's feedback and the commands; stored by `relay.spool.inbound`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from relay.event import EventKind
from relay.ids import SpoolId
from relay.mail.address import ReversePath
from relay.mail.envelope import Notify, Return
from relay.policy.hearing import Followed, Purpose
from relay.policy.state import State
from relay.spool.work import Door

MOST_REPLIES: Final = 10
"""Mails to one letter's reply address that are listed, and that may wait to be sorted; and of strangers' as many are
looked into and told that nobody reads them."""

UNREAD: Final = "unread"
"""The kind of an item that broke the program that reads it."""


@dataclass(frozen=True, slots=True)
class InboundAddress:
    """One accepted recipient: `delivery` is what its return or reply token names, `subject` an unsubscribe token's."""

    address: str
    purpose: Purpose
    delivery: tuple[SpoolId, int] | None = None
    subject: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewInbound:
    """A mail as the door took it: committed with all its addresses, then answered with 250."""

    peer: str
    helo: str
    tls: bool
    reverse_path: ReversePath
    addresses: tuple[InboundAddress, ...]
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class InboundItem:
    """One address of a mail, to be sorted; `content` None when it was forgotten meanwhile."""

    id: int
    at: datetime
    peer: str
    helo: str
    reverse_path: str
    """"" is the null path."""
    address: InboundAddress
    content: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SentDelivery:
    """The delivery a token names, with all that a report about it needs."""

    seq: int
    message: SpoolId
    n: int
    tenant: int
    door: Door
    stream: str
    reverse_path: ReversePath
    smtputf8: bool
    envid: str | None
    ret: Return | None
    prelude: bytes | None
    accepted_at: datetime
    state: State
    domain: str
    recipient: str | None
    """None once its address was erased."""
    notify: Notify | None
    orcpt: str | None
    siblings: int
    """How many other deliveries its message has."""


@dataclass(frozen=True, slots=True)
class RepliesCame:
    """What came to one letter's reply address: mails that are listed, how many of them are still to be sorted, and
    whether one was passed on as the letter's reply.
    """

    listed: int
    unsorted: int = 0
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class NewReport:
    """An aggregate report, unpacked: `domain` of ours it is about, "" = none, and `reporter` who brought it."""

    form: str
    domain: str
    content: bytes = field(repr=False)
    reporter: str


@dataclass(frozen=True, slots=True)
class Consequence:
    """What is written when an item is sorted, in one transaction.

    `event` is told of `delivery` (its number None: of the whole message). With RETURNED the delivery changes its
    state, if it is still DELIVERED. `document` is an aggregate report.
    """

    kind: str
    followed: Followed
    detail: Mapping[str, Any]
    shown: bool = False
    delivery: tuple[SpoolId, int | None] | None = None
    event: EventKind | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    document: NewReport | None = None
    loop: str = ""
    """The feedback loop a complaint came by."""
    words: str = field(default="", repr=False)
    """Of a reply to `delivery`: they wait for the front that sent the letter."""
    forgets: bool = False
    """Whether nothing else of the mail is kept, unless it came to other addresses too."""


@dataclass(frozen=True, slots=True)
class InboundView:
    """An item as shown to people and programs."""

    id: int
    at: datetime
    peer: str
    address: str
    purpose: Purpose
    delivery: str
    kind: str
    followed: str
    """Empty while it is not sorted yet."""
    shown: bool
    done_at: datetime | None
    detail: Mapping[str, Any]
    size: int


@dataclass(frozen=True, slots=True)
class InboundFilter:
    """Which items are meant: those that wait for a person, or all; `purpose` and `kind` restrict where not empty."""

    waiting: bool = True
    purpose: str = ""
    kind: str = ""
    limit: int = 100
