"""Events: immutable facts about messages, written in the transaction that makes them true."""

from __future__ import annotations

from enum import IntEnum


class EventKind(IntEnum):
    """The kinds of `GET /api/v1/events`; the number is what the spool stores."""

    ACCEPTED = 1
    ATTEMPTED = 2
    DELIVERED = 3
    DEFERRED = 4
    BOUNCED = 5
    EXPIRED = 6
    SUPPRESSED = 7
    CANCELLED = 8
    RETURNED = 9
    COMPLAINED = 10
    OPTED_OUT = 11
    HELD = 12
    RELEASED = 13

    @property
    def label(self) -> str:
        """The name in the API: lower case."""
        return self.name.lower()
