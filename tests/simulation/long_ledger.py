"""A ledger for very many letters: what is promised and settled weighs 27 bytes a letter.

For letters with one recipient whose local part is `to` and a serial number, as a `Backlog` writes them. Their ids and
what became of them lie in flat arrays; a take is kept as a value only until the delivery's final event is seen, or for
good if it excuses another one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from relay.ids import SpoolId
from relay.policy.state import State
from tests.simulation.ledger import Ledger, Take

_ID: Final = 26
_PROMISED: Final = 1
_TAKEN: Final = 2
_FINAL: Final = 4
_DELIVERED: Final = 8


@dataclass(eq=False)
class LongLedger(Ledger):
    """The ledger of a long queue."""

    _ids: bytearray = field(default_factory=bytearray)
    _marks: array[int] = field(default_factory=lambda: array("B"))

    def promise(self, message: SpoolId, recipients: tuple[str, ...], key: str) -> None:
        (recipient,) = recipients
        serial = _serial(recipient)
        self._reach(serial)
        self._ids[serial * _ID : (serial + 1) * _ID] = message.encode()
        self._marks[serial] |= _PROMISED

    def take(self, delivery: str, take: Take) -> None:
        serial = _serial(delivery)
        self._reach(serial)
        marks = self._marks[serial]
        if marks & _FINAL and marks & _TAKEN and delivery not in self.takes:
            self.broken.append(f"{delivery} was sent again without a reason")
        self._marks[serial] = marks | _TAKEN
        super().take(delivery, take)

    def final(self, delivery: str, state: State) -> None:
        super().final(delivery, state)
        del self.finals[delivery]
        serial = _serial(delivery)
        self._reach(serial)
        self._marks[serial] |= _FINAL | (_DELIVERED if state is State.DELIVERED else 0)
        if not any(take.reason() for take in self.takes.get(delivery, ())):
            self.takes.pop(delivery, None)

    def is_final(self, delivery: str) -> bool:
        serial = _serial(delivery)
        return serial < len(self._marks) and bool(self._marks[serial] & _FINAL)

    def missing(self, deliveries: Iterable[tuple[str, ...]]) -> list[str]:
        present = bytearray(len(self._marks))
        for message, recipient in deliveries:
            serial = _serial(recipient)
            if serial < len(present) and self._ids[serial * _ID : (serial + 1) * _ID] == message.encode():
                present[serial] = 1
        return [f"to{n}" for n, marks in enumerate(self._marks) if marks & _PROMISED and not present[n]]

    def untaken(self) -> list[str]:
        wrong = _PROMISED | _DELIVERED
        return [f"to{n}" for n, marks in enumerate(self._marks) if marks & (wrong | _TAKEN) == wrong]

    def _reach(self, serial: int) -> None:
        if serial >= len(self._marks):
            more = 1 + serial - len(self._marks) + 4096
            self._marks.frombytes(bytes(more))
            self._ids.extend(bytes(more * _ID))


def _serial(recipient: str) -> int:
    return int(recipient[2 : recipient.index("@")])
