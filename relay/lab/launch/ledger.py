"""The books of the replay: every letter that was written stands in exactly one line, and what arrived agrees. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.lab.launch.plan import Kind
from relay.lab.launch.visitors import Fate, Played

LOST: Final = "lost"
DELIVERED: Final = "delivered"

LINES: Final[Mapping[str, str]] = {
    DELIVERED: "delivered",
    "bounced": "could not be delivered: refused by the far side",
    "suppressed": "could not be delivered: its reader wants none",
    "expired": "could not be delivered: tried until its time was over",
    "returned": "could not be delivered: came back later",
    "undeliverable": "could not be delivered: withheld at the front",
    "cancelled": "taken back by its writer",
    "waiting": "waiting in the front for its departure",
    "held": "waiting for a person",
    "given back": "given back: nobody decided within 48 hours",
    "in the relay": "waiting in the relay",
    Fate.REFUSED.value: "refused at the form by a rule",
    Fate.NO_ADDRESS.value: "refused at the form: no address for letters",
    Fate.LIMITED.value: "turned away by a limit",
    Fate.FULL.value: "turned away: too much waits for a person",
    Fate.NOT_TAKEN.value: "not taken: the front could not answer",
    LOST: "LOST: sent, and known to nobody",
}
"""Every place a letter may be in, and how the table names it."""

_RELAY: Final = {"waiting": "in the relay", "leased": "in the relay", "held": "in the relay"}
_FRONT: Final = {"returned": "given back", "nowhere": LOST, "refused": "undeliverable"}


@dataclass(slots=True)
class Ledger:
    """The books. `places` counts letters by line, `kinds` by kind and line."""

    places: Counter[str] = field(default_factory=Counter)
    kinds: dict[Kind, Counter[str]] = field(default_factory=dict)
    expected: Counter[str] = field(default_factory=Counter)
    """Mails the relay says were delivered, by address."""
    arrived: Counter[str] = field(default_factory=Counter)
    """Mails the lab's hosts took."""
    strangers: int = 0
    """Letters in the tables that nobody wrote."""

    @property
    def written(self) -> int:
        """Letters in all lines."""
        return self.places.total()

    @property
    def missing(self) -> int:
        """Deliveries that no host saw."""
        return (self.expected - self.arrived).total()

    @property
    def doubled(self) -> int:
        """Mails a host took that were no delivery's first."""
        return (self.arrived - self.expected).total()

    def faults(self, written: int) -> list[str]:
        """Why the books do not balance; none if they do. A mail that arrived twice is told, not a fault."""
        found = []
        if self.written != written:
            found.append(f"{written} letters were written, {self.written} are accounted for")
        if self.places[LOST]:
            found.append(f"{self.places[LOST]} letters were sent and are nowhere")
        if self.places[Fate.NOT_TAKEN.value]:
            found.append(f"{self.places[Fate.NOT_TAKEN.value]} letters were not taken")
        if self.missing:
            found.append(f"{self.missing} letters are delivered, and no host took them")
        if self.strangers:
            found.append(f"{self.strangers} letters stand in the tables that nobody wrote")
        return found


@dataclass(frozen=True, slots=True)
class Standing:
    """A sent letter in the tables: the relay's state of its delivery, or the front's place."""

    state: str = ""
    place: str = ""


def balance(played: Sequence[Played], standings: Mapping[str, Standing], arrived: Iterable[str], known: int) -> Ledger:
    """The books of `played` letters; `standings` are by secret, `known` is how many letters the tables hold."""
    ledger = Ledger()
    for one in played:
        line = _line(one, standings.get(one.secret))
        ledger.places[line] += 1
        ledger.kinds.setdefault(one.letter.kind, Counter())[line] += 1
        if line == DELIVERED:
            ledger.expected[one.letter.to] += 1
    ledger.arrived.update(arrived)
    ledger.strangers = max(0, known - sum(one.fate is Fate.SENT for one in played))
    return ledger


def _line(one: Played, standing: Standing | None) -> str:
    if one.fate is not Fate.SENT:
        return one.fate.value
    if standing is None:
        return LOST
    if standing.state:
        return _RELAY.get(standing.state, standing.state)
    return _FRONT.get(standing.place, standing.place)
