"""What a webhook is, and what became of a post to it: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relay.event import EventKind
from relay.event.feed import Position


class Form(StrEnum):
    """How its receiver wants to be told."""

    STANDARD = "standard"
    """One event a post, signed as Standard Webhooks says."""
    MANDRILL = "mandrill"
    """`mandrill_events` in a form, signed as Mandrill does."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """What somebody asks for; empty `kinds` means all."""

    tenant: int
    url: str
    form: Form
    kinds: frozenset[EventKind]
    description: str
    position: Position


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook as it stands."""

    id: int
    tenant: int
    url: str
    form: Form
    kinds: frozenset[EventKind]
    description: str
    salt: str
    generation: int
    rotated: datetime | None
    created: datetime
    position: Position
    version: int
    holder: int | None
    failures: int
    failing_since: datetime | None
    next_at: datetime
    taken_at: datetime | None
    disabled_at: datetime | None
    disabled_why: str
    parked: int
    """How many events are parked."""
    parked_due: datetime | None
    """When the first of them is tried again."""

    @property
    def is_enabled(self) -> bool:
        """Whether it is told anything."""
        return self.disabled_at is None


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that waits apart from the stream."""

    seq: int
    message: str
    attempts: int
    since: datetime
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Post:
    """One post: `status` is HTTP's, None without an answer; `error` is empty when it was taken."""

    at: datetime
    seq: int
    attempt: int
    status: int | None
    millis: int
    error: str


@dataclass(frozen=True, slots=True)
class Round:
    """What a round changes, written at once: the new position, parked events, the posts, and how the receiver is."""

    position: Position
    failures: int
    failing_since: datetime | None
    next_at: datetime
    taken_at: datetime | None
    posts: tuple[Post, ...] = ()
    park: tuple[Parked, ...] = ()
    """New ones, and those whose next time changes."""
    unpark: tuple[int, ...] = ()
    disabled_why: str = ""
    """Not empty: it is told nothing any more until somebody enables it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said to a post; `retry_after` in seconds, None when it did not ask for a pause."""

    status: int | None
    error: str
    millis: int
    retry_after: float | None = None

    @property
    def taken(self) -> bool:
        """Whether it took what was posted."""
        return not self.error
