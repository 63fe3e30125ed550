"""The ledger: what users were promised and what far sides took, kept outside every process of the relay.

A far side's *take* is a message it answered for, or would have. A second take of the same delivery is a duplicate
and needs one of the reasons that docs/spool.md allows: (a) the life that heard the 250 ended before it settled,
(b) nobody heard an answer, (c) the life was stopped or cut off while it sent. (d), a user who sends again after
no answer, is a message of its own and counted here as well. A duplicate without a reason breaks the promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from relay.ids import SpoolId
from relay.policy.state import State
from tests.simulation.loop import Life


@dataclass(slots=True, eq=False)
class Take:
    """One take: by which life it was sent, when its transaction began, whether the answer was heard."""

    life: Life | None
    begun: float
    digest: int
    heard: bool = False
    cut_off: bool = False
    """The life stopped sending (it was drained) before it heard the answer."""

    def reason(self) -> str:
        """Which of the documented reasons excuses another take; "" is none."""
        if not self.heard:
            return "b" if not self.cut_off else "c"
        if self.life is not None and (self.life.killed or self.life.left_unsettled):
            return "a"
        if self.life is not None and any(pause >= self.begun for pause in self.life.pauses):
            return "c"
        return ""


@dataclass(eq=False)
class Ledger:
    """Promises and takes."""

    acknowledged: dict[SpoolId, tuple[str, ...]] = field(default_factory=dict)
    """Recipients by acknowledged message."""
    keys: dict[str, SpoolId] = field(default_factory=dict)
    """The message each idempotency key was answered with."""
    takes: dict[str, list[Take]] = field(default_factory=dict)
    """By recipient address (each is used for one delivery only), notices by address and content."""
    duplicates: Counter[str] = field(default_factory=Counter)
    """Second takes by reason, and messages that users sent twice under "d"."""
    finals: dict[str, State] = field(default_factory=dict)
    """The final state that the spool told of, by recipient address; not of notices."""
    refused: set[str] = field(default_factory=set)
    """Recipients whom a far side refused for good."""
    broken: list[str] = field(default_factory=list)
    """What must never happen, and did."""

    def promise(self, message: SpoolId, recipients: tuple[str, ...], key: str) -> None:
        """A user read 250 or 202."""
        if key and self.keys.setdefault(key, message) != message:
            self.broken.append(f"idempotency key {key} was answered with {self.keys[key]} and {message}")
        self.acknowledged[message] = recipients

    def take(self, delivery: str, take: Take) -> None:
        """A far side took a delivery."""
        earlier = self.takes.setdefault(delivery, [])
        if earlier:
            reason = next((reason for one in earlier if (reason := one.reason())), "")
            if reason:
                self.duplicates[reason] += 1
            else:
                self.broken.append(f"{delivery} was sent again without a reason")
            if earlier[0].digest != take.digest:
                self.broken.append(f"{delivery} was sent again with other bytes")
        earlier.append(take)

    def final(self, delivery: str, state: State) -> None:
        """The spool told of a delivery's final state."""
        self.finals[delivery] = state
        takes = self.takes.get(delivery, ())
        if state is State.DELIVERED and not takes:
            self.broken.append(f"{delivery} is delivered and nobody took it")
        if state is not State.DELIVERED and any(take.heard and not take.reason() for take in takes):
            self.broken.append(f"{delivery} is {state.label} although its delivery was heard of")

    def is_final(self, delivery: str) -> bool:
        """Whether the spool told of its final state."""
        return delivery in self.finals

    def missing(self, deliveries: Iterable[tuple[str, ...]]) -> list[str]:
        """Acknowledged recipients that are not among these (message, recipient), the spool's deliveries."""
        present = set(deliveries)
        return [
            recipient
            for message, recipients in self.acknowledged.items()
            for recipient in recipients
            if (message, recipient) not in present
        ]

    def untaken(self) -> list[str]:
        """Acknowledged recipients that are delivered, says the spool, and were taken by nobody."""
        return [
            recipient
            for recipients in self.acknowledged.values()
            for recipient in recipients
            if self.finals.get(recipient) is State.DELIVERED and recipient not in self.takes
        ]
