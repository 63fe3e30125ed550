"""Where a letter stands, in the few stages a writer is told: pure, from our record and the relay's state.

Whether it was refused, blocked or its address does not exist reads the same, so that nobody learns about a
recipient by writing to them; and "opened" does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from relay.client.contract import LetterState
from web.letters import LetterRecord


class Stage(StrEnum):
    """A stage of a letter's life; its words are in the catalogue under `stage.<value>`."""

    WAITING = "waiting"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    FORGOTTEN = "forgotten"
    UNCLEAR = "unclear"
    """The relay does not answer just now."""

    @property
    def final(self) -> bool:
        """Whether looking again shows nothing new."""
        return self in _FINAL


_FINAL: Final = frozenset({Stage.DELIVERED, Stage.UNDELIVERABLE, Stage.FORGOTTEN})

_STAGES: Final[dict[str, Stage]] = {
    "waiting": Stage.WAITING,
    "leased": Stage.WAITING,
    "held": Stage.WAITING,
    "delivered": Stage.DELIVERED,
    "bounced": Stage.UNDELIVERABLE,
    "expired": Stage.UNDELIVERABLE,
    "suppressed": Stage.UNDELIVERABLE,
    "cancelled": Stage.UNDELIVERABLE,
    "returned": Stage.UNDELIVERABLE,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A stage, and when something happens next if that is known."""

    stage: Stage
    next_try: datetime | None = None


def standing_before_relay(record: LetterRecord) -> Standing | None:
    """Where a letter stands that the relay does not have; None if the relay has to be asked."""
    if record.message_id is not None:
        return None
    if record.due is not None:
        return Standing(Stage.WAITING)
    return Standing(Stage.UNDELIVERABLE)


def standing_at_relay(state: LetterState | None) -> Standing:
    """Where a letter stands that was handed over; None means that the relay has forgotten it."""
    if state is None:
        return Standing(Stage.FORGOTTEN)
    stage = _STAGES.get(state.state, Stage.UNCLEAR)
    if stage is Stage.WAITING and state.attempts > 0:
        return Standing(Stage.RETRYING, state.next_due)
    return Standing(stage)
