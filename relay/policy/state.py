"""The states of a delivery and the only transitions between them (see docs/spool.md).

"Deferred" is not a state: it is WAITING with attempts > 0.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Where the duty toward one recipient stands; the number is what the spool stores."""

    WAITING = 1
    """Due at its time; nobody works on it."""
    LEASED = 2
    """An incarnation of a worker holds it."""
    HELD = 3
    """Waits for a person or a repaired key; has no due time."""
    DELIVERED = 10
    """The next host took responsibility; never "read" or "in the inbox"."""
    BOUNCED = 11
    """Refused for good."""
    EXPIRED = 12
    """Tried until its time was over."""
    SUPPRESSED = 13
    """Never tried: the recipient is under a standing refusal."""
    CANCELLED = 14
    """Taken back by its sender or the operator."""
    RETURNED = 15
    """A bounce that came after the far side had accepted."""

    @property
    def final(self) -> bool:
        """Whether nothing more is owed to the recipient."""
        return self >= State.DELIVERED

    @property
    def label(self) -> str:
        """The name in the API and on pages: lower case."""
        return self.name.lower()


_FINALS = frozenset({State.DELIVERED, State.BOUNCED, State.EXPIRED, State.SUPPRESSED, State.CANCELLED})

TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.WAITING: frozenset({State.LEASED, State.HELD}) | (_FINALS - {State.DELIVERED}),
    State.LEASED: frozenset({State.WAITING, State.HELD}) | _FINALS,
    State.HELD: frozenset({State.WAITING}) | (_FINALS - {State.DELIVERED}),
    State.DELIVERED: frozenset({State.RETURNED}),
    State.BOUNCED: frozenset(),
    State.EXPIRED: frozenset(),
    State.SUPPRESSED: frozenset(),
    State.CANCELLED: frozenset(),
    State.RETURNED: frozenset(),
}


def may_become(old: State, new: State) -> bool:
    """Whether a delivery in `old` may go to `new`."""
    return new in TRANSITIONS[old]
