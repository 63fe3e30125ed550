"""The row of letters that wait for room under a ceiling: who stands before whom.

A letter stands in it from when it is sent until it has its place among those of the day, whether or not it has met a
ceiling yet: so whoever comes later is told of all that will leave before. They stand in the order in which they would
have left without a ceiling, each kind of network in a row of its own. One that nobody wants stands there as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import to_millis
from relay.database.contract import Connection, Database
from web.network import Network

SPREAD: Final = timedelta(minutes=20)
"""Letters that waited for the same moment leave within so much after it."""

FEW: Final = 20
"""Fewer than so many are told as no number: at a domain that hardly anybody writes to they would be somebody."""

_AHEAD: Final = "SELECT COUNT(*) FROM web_handover WHERE place IS NOT NULL AND network = ? AND promised < ?"
_OTHERS: Final = "SELECT 1 FROM web_handover WHERE place IS NOT NULL AND network <> ? AND place = ? LIMIT 1"
_MINE: Final = "SELECT network, promised, waits_at FROM web_handover WHERE letter_id = ? AND waits_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Spot:
    """A letter's spot in the row."""

    waits_at: str
    """For whose room it waits: a place of `web.admission`, "" for the operator's own."""
    ahead: int
    """How many stand before it."""
    ask: datetime
    """When to ask again."""
    opens: datetime
    """When there is expected to be room for it."""
    bound: datetime | None = None
    """When there would be if `FEW` stood before it; None where its own moment may be told."""
    is_spent: bool = False
    """Whether today's room is used up, however few wait."""

    @property
    def departs(self) -> datetime:
        """By when it is expected to leave, as far as that is told: of a rough one the day alone is (`is_rough`)."""
        return (self.bound or self.opens) + SPREAD


@dataclass(frozen=True, slots=True)
class Place:
    """Where a letter stands that is kept: for whose room it waits, "" for the operator's own, and behind how many."""

    waits_at: str
    ahead: int

    @property
    def is_rough(self) -> bool:
        """Whether its day alone is told."""
        return is_rough(self.waits_at, self.ahead)


def is_rough(waits_at: str, ahead: int) -> bool:
    """Whether no moment is told of a letter there: each that stands before it would move the moment by one gap.

    Under the operator's own ceiling everybody's letters wait, so there it says nothing of anybody.
    """
    return bool(waits_at) and ahead < FEW


def count_ahead(connection: Connection, place: str, network: Network, wished: datetime) -> int:
    """How many of `network` would have left before `wished` and wait for room at `place`; all of them for ""."""
    return _count(connection, place, (network.value, to_millis(wished)))


def leave_row(connection: Connection, letter_id: str) -> None:
    """It has its place among those of the day: nobody waits behind it any more."""
    connection.execute("UPDATE web_handover SET place = NULL WHERE letter_id = ?", (letter_id,))


def is_shared(connection: Connection, place: str, network: Network) -> bool:
    """Whether letters of other kinds of network wait for room at `place` too."""
    return bool(list(connection.execute(_OTHERS, (network.value, place))))


def told_ahead(number: int) -> int:
    """What is told of a number of letters: its first digit, 0 for fewer than `FEW`."""
    if number < FEW:
        return 0
    return round(number, 1 - len(str(number)))


class Row:
    """Tells a letter's spot. Raises SpoolUnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def place_of(self, letter_id: str) -> Place | None:
        """Where it stands; None for a letter that no ceiling holds back."""

        def work(connection: Connection) -> Place | None:
            for network, promised, waits_at in connection.execute(_MINE, (letter_id,)):
                return Place(waits_at, _count(connection, waits_at, (network, promised)))
            return None

        return await self._database.read(work)


def _count(connection: Connection, place: str, bindings: tuple[Any, ...]) -> int:
    rows = (
        connection.execute(f"{_AHEAD} AND place = ?", (*bindings, place))
        if place
        else connection.execute(_AHEAD, bindings)
    )
    ((found,),) = rows
    return int(found)
