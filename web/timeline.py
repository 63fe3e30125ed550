"""Where a letter stands, in the few stages a writer is told: pure, from our record and the relay's state.

Whether it was refused, blocked or its address does not exist reads the same, so that nobody learns about a
recipient by writing to them; and "opened" does not exist. From its departure to its end a letter shows one stage, since
a letter that is withheld makes none of the steps another makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from relay.client.contract import LetterState
from web.letters import Ending, LetterRecord


class Stage(StrEnum):
    """A stage of a letter's life; its words are in the catalogue under `stage.<value>`."""

    COOLING = "cooling"
    """It leaves by itself at a known time; until then its writer may take it back."""
    HELD = "held"
    """A person reads it first."""
    WAITING = "waiting"
    """Here, at the relay or at its provider, which may make it wait: which of these would tell that it left."""
    DELIVERED = "delivered"
    UNDELIVERABLE = "undeliverable"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    REFUSED = "refused"
    FORGOTTEN = "forgotten"
    UNCLEAR = "unclear"
    """The relay does not answer just now, about this letter or any other."""

    @property
    def final(self) -> bool:
        """Whether looking again shows nothing new."""
        return self in _FINAL


_FINAL: Final = frozenset(
    {Stage.DELIVERED, Stage.UNDELIVERABLE, Stage.CANCELLED, Stage.RETURNED, Stage.REFUSED, Stage.FORGOTTEN}
)

WITHDRAWN: Final = frozenset({"suppressed", "cancelled"})
"""States of a letter that the relay has and will not deliver: its recipient wants none, or was erased."""

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
    """A stage, and when something happens next if that is told."""

    stage: Stage
    next_step: datetime | None = None


@dataclass(frozen=True, slots=True)
class Teller:
    """Says where letters stand at `now`.

    A failure is told `delay` after it happened, one time for each letter: how soon one is known would say whether
    an address exists, or whether its owner wants no letters.
    """

    now: datetime
    delay: timedelta = timedelta(0)

    def before_departure(self, record: LetterRecord) -> Standing | None:
        """Where a letter stands that has not left in its writer's eyes; None if the relay has to be asked."""
        if record.message_id is not None:
            return None
        if record.ending is not None and record.ending is not Ending.UNDELIVERABLE:
            return Standing(Stage(record.ending.value))
        if record.hold is not None and record.hold.why.is_told and not record.refused:
            return Standing(Stage.HELD, record.hold.until)
        if record.may_be_cancelled(self.now):
            return Standing(Stage.COOLING, record.due)
        return None

    def beside(self, record: LetterRecord, state: LetterState | None) -> Standing:
        """Where a letter stands that has left for its writer alone; `state` is that of another, `record.beside`.

        The relay is asked about that one, so that whatever keeps it from telling keeps us from telling here too.
        """
        if state is None and record.beside is not None:
            return Standing(Stage.FORGOTTEN)
        if record.refused or record.ending is Ending.UNDELIVERABLE:
            return self.failed(record.ended)
        return Standing(Stage.WAITING)

    def at_relay(self, state: LetterState | None) -> Standing:
        """Where a letter stands that was handed over; None means that the relay has forgotten it."""
        if state is None:
            return Standing(Stage.FORGOTTEN)
        stage = _STAGES.get(state.state, Stage.UNCLEAR)
        return self.failed(state.changed_at) if stage is Stage.UNDELIVERABLE else Standing(stage)

    def failed(self, at: datetime | None) -> Standing:
        """Where a letter stands that failed then."""
        is_told = at is None or at + self.delay <= self.now
        return Standing(Stage.UNDELIVERABLE if is_told else Stage.WAITING)
