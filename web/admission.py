"""How many letters leave on a day, and of which kind of network: counted by all nodes together, days in UTC.

The binding limit against abuse from many addresses is the day's admission: the operator's ceiling, and what warm-up
allows at the provider a letter goes to. Both are shared between the kinds of network by `web.shares`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from web.network import Network
from web.shares import USUAL, Room, Shares
from web.turns import Turn, take_turn

OPERATORS: Final = ""
"""The place of the operator's own ceiling; others are a provider's name."""

_DAY: Final = timedelta(days=1)
_COUNTS: Final = "SELECT network, letters FROM web_left WHERE day = ? AND place = ?"
_ADD: Final = """
INSERT INTO web_left (day, place, network, letters) VALUES (?, ?, ?, 1)
ON CONFLICT (day, place, network) DO UPDATE SET letters = web_left.letters + 1
"""
_WAITING: Final = "SELECT COUNT(*) FROM web_handover WHERE network = ? AND held_until IS NULL AND due > ? AND due < ?"
_NOT_RINGING: Final = "AND NOT EXISTS (SELECT 1 FROM web_waiting w WHERE w.letter_id = web_handover.letter_id)"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What may leave today at `place`: `most` in all, or `remaining` beyond what was counted there."""

    place: str
    remaining: int = 0
    most: int | None = None

    def room(self, left: Mapping[Network, int]) -> Room:
        """The day at this place, of which `left` has been used."""
        return Room(max(0, self.remaining) + sum(left.values()) if self.most is None else self.most, left)


class DayAdmission:
    """At most `most` letters a day, `doorbells` for one provider; 0 is no ceiling. Each is shared by `shares`.

    Raises SpoolUnavailableError.
    """

    def __init__(self, database: Database, clock: Clock, most: int, shares: Shares = USUAL, doorbells: int = 0) -> None:
        self._database = database
        self._clock = clock
        self._most = most
        self._shares = shares
        self._doorbells = doorbells

    @property
    def most(self) -> int:
        """The operator's ceiling, 0 for none."""
        return self._most

    @property
    def doorbells(self) -> int:
        """How many mails that only ask may leave for one provider on a day, 0 for no ceiling."""
        return self._doorbells

    @property
    def shares(self) -> Shares:
        """How the day is shared."""
        return self._shares

    async def take(
        self, network: Network = Network.DIRECT, ceilings: Sequence[Ceiling] = (), *, counts: bool = True
    ) -> datetime | None:
        """Count one letter of `network` that leaves now under `ceilings` too; when to ask again if it may not.

        Unless it `counts`, it is only asked whether one might leave.
        """
        if not self._most and not ceilings:
            return None
        now = self._clock.now()
        day = to_millis(now.replace(hour=0, minute=0, second=0, microsecond=0))

        def work(connection: Connection) -> datetime | None:
            if counts:
                take_turn(connection, self._database.dialect, Turn.DEPARTURES)
            binding = [*([Ceiling(OPERATORS, most=self._most)] if self._most else []), *ceilings]
            rooms = [one.room(_left(connection, day, one.place)) for one in binding]
            waits = [room.opens(network, self._shares, now) for room in rooms]
            latest = max((at for at in waits if at is not None), default=None)
            if latest is None and counts:
                for one in binding:
                    connection.execute(_ADD, (day, one.place, network.value))
            return latest

        return await (self._database.write(work) if counts else self._database.read(work))

    async def waiting(self, network: Network) -> int:
        """Letters of `network` that wait for their departure; not those that only ask, which have a brake apart."""
        now = to_millis(self._clock.now())
        bindings = (network.value, now, now + 30 * int(_DAY.total_seconds() * 1000))

        def work(connection: Connection) -> int:
            return _count(connection, f"{_WAITING} {_NOT_RINGING}", bindings)

        return await self._database.read(work)

    async def forget(self) -> None:
        """Delete the counts of days that are over."""
        before = to_millis(self._clock.now() - 2 * _DAY)
        await self._database.write(lambda c: list(c.execute("DELETE FROM web_left WHERE day < ?", (before,))))


def _left(connection: Connection, day: int, place: str) -> dict[Network, int]:
    return {Network(network): letters for network, letters in connection.execute(_COUNTS, (day, place))}


def _count(connection: Connection, sql: str, bindings: tuple[Any, ...]) -> int:
    ((found,),) = connection.execute(sql, bindings)
    return int(found)
