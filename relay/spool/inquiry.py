"""What can be asked of the spool about its mail, and the answers: lanes, messages with their lives, searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from relay.event import EventKind
from relay.ids import SpoolId
from relay.policy.state import State
from relay.smtp.transcript import Exchange
from relay.spool.work import Door, Warmth


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """A lane, tenant × next-hop domain, as the queue shows it."""

    tenant: str
    domain: str
    waiting: int
    leased: int
    held: int
    oldest: datetime | None
    next_due: datetime | None
    site: str = ""
    """Where its mail last went; empty before the first look-up."""


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as shown to people and programs; `recipient` is None once its address was erased."""

    message: SpoolId
    n: int
    recipient: str | None
    domain: str
    state: State
    attempts: int
    due: datetime | None
    initial: State
    """The state it was accepted with; an idempotent repetition answers this one."""
    site: str = ""
    """Where its domain's mail goes, as last seen; empty while that is not known."""
    source: str = ""
    """The egress source that a host last answered through."""
    warmth: Warmth | None = None
    """The warm-up that it left by, or waits for."""


@dataclass(frozen=True, slots=True)
class EventView:
    """An event as shown; `n` is None for what concerns the whole message."""

    cursor: int
    at: datetime
    message: SpoolId
    n: int | None
    kind: EventKind
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt as shown; the fields are those of docs/events.md."""

    n: int
    number: int
    at: datetime
    detail: Mapping[str, Any]
    transcript: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class MessageView:
    """The whole life of a message."""

    id: SpoolId
    tenant: str
    tenant_id: int
    door: Door
    stream: str
    reverse_path: str
    """Empty for the null path."""
    size: int
    accepted_at: datetime
    expires_at: datetime
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    deliveries: tuple[DeliveryView, ...]
    attempts: tuple[AttemptView, ...]
    events: tuple[EventView, ...]
    send_at: datetime | None = None
    """Not sent before this time, by its sender's wish."""
    seq: int = 0
    """Its number in the spool, by which its content is asked for."""


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which deliveries a queue command means; empty fields do not restrict."""

    domain: str = ""
    tenant: str = ""
    sender: str = ""
    recipient: str = ""
    message: SpoolId | None = None
    older_than: datetime | None = None
    site: str = ""
    states: tuple[State, ...] = (State.WAITING, State.LEASED, State.HELD)
    limit: int = 100


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages are looked for; empty fields do not restrict. `cursor` is that of the page before."""

    tenant: int | None
    """Whose; None: every tenant's, for operators."""
    recipient: str = ""
    sender: str = ""
    tag: str = ""
    stream: str = ""
    state: State | None = None
    """One of its deliveries is in this state."""
    after: datetime | None = None
    before: datetime | None = None
    cursor: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class FoundDelivery:
    """A delivery of a message that was found."""

    n: int
    recipient: str | None
    state: State


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message that was found, with its first deliveries; `unfinished` counts all that are owed still."""

    id: SpoolId
    accepted_at: datetime
    reverse_path: str
    stream: str
    tags: tuple[str, ...]
    size: int
    unfinished: int
    deliveries: tuple[FoundDelivery, ...]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Messages, the newest first; `cursor` is where to go on, None at the end."""

    messages: tuple[FoundMessage, ...]
    cursor: int | None
