"""The stream of events: a position in it, an event as it is told to programs, and a page of them.

Stands between the spool, which reads events in the order of their commits, and all who are told of them: the HTTP
API, webhooks and the journal. An event itself names nobody; its recipient's address is joined when it is read, so
that an address once erased is told to nobody any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from relay.event import EventKind
from relay.ids import SpoolId, delivery_id

_CURSOR = re.compile(r"([0-9a-f]{1,16})-([0-9a-f]{1,15})")


class Position(NamedTuple):
    """A place in the order of commits: everything up to it has been seen. Its text is a cursor."""

    tx: int
    """The transaction on PostgreSQL, where numbers are drawn before the commit; 0 on SQLite."""
    seq: int

    def __str__(self) -> str:
        return f"{self.tx:x}-{self.seq:x}"


BEGINNING = Position(0, 0)


def parse_cursor(text: str) -> Position:
    """The position of a cursor that `Position` wrote; ValueError for any other text."""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise ValueError("this is no cursor; use one that an earlier answer gave")
    return Position(int(match[1], 16), int(match[2], 16))


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """An event with what it belongs to. `n` is None for what concerns the whole message, `address` None once erased."""

    position: Position
    at: datetime
    kind: EventKind
    message: SpoolId
    tenant: int
    n: int | None
    address: str | None
    sender: str
    """The envelope sender, empty for the null path."""
    stream: str
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    detail: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its name, the same each time it is told: whoever keeps the names sees a repetition."""
        return event_id(self.position.seq)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are wanted: after a position, at most `limit`; an empty `kinds` means all."""

    after: Position
    limit: int
    tenant: int | None = None
    kinds: frozenset[EventKind] = frozenset()


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order. `cursor` is where to go on, past events that were not wanted too; `more`: at once."""

    events: tuple[FeedEvent, ...]
    cursor: Position
    more: bool


def event_id(seq: int) -> str:
    """The name of the event with this number."""
    return f"evt_{seq}"


def parse_event_id(text: str) -> int:
    """The number in an event's name; ValueError for any other text."""
    number = text.removeprefix("evt_")
    if number == text or not number.isdecimal() or len(number) > 18:
        raise ValueError("this is no event's id; write it as in evt_42")
    return int(number)


def moment_text(moment: datetime) -> str:
    """A moment in UTC as events tell it: RFC 3339 with milliseconds."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_document(event: FeedEvent) -> dict[str, Any]:
    """An event as JSON: the same in the API, in webhooks and in the journal (docs/events.md)."""
    return {
        "id": event.id,
        "cursor": str(event.position),
        "at": moment_text(event.at),
        "kind": event.kind.label,
        "message_id": event.message,
        "delivery_id": None if event.n is None else delivery_id(event.message, event.n),
        "address": event.address,
        "stream": event.stream,
        "tags": list(event.tags),
        "metadata": dict(event.metadata),
        "detail": dict(event.detail),
    }
