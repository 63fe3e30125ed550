"""How many letters leave on a day, and of which kind of network: counted by all nodes together, days in UTC.

The binding limit against abuse from many addresses is the day's admission: the operator's ceiling, and what warm-up
allows at the provider a letter goes to. Both are shared between the kinds of network by `web.shares`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from web.network import Network
from web.shares import USUAL, Room, Shares

OPERATORS: Final = ""
"""The place of the operator's own ceiling; others are a provider's name."""

_DAY: Final = timedelta(days=1)
_COUNTS: Final = "SELECT network, letters FROM web_left WHERE day = ? AND place = ?"
_ADD: Final = """
INSERT INTO web_left (day, place, network, letters) VALUES (?, ?, ?, 1)
ON CONFLICT (day, place, network) DO UPDATE SET letters = web_left.letters + 1
"""
_WAITING: Final = "SELECT COUNT(*) FROM web_handover WHERE network = ? AND held_until IS NULL AND due > ? AND due < ?"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What may still leave today at `place`, beyond what was counted there."""

    place: str
    remaining: int


class DayAdmission:
    """At most `most` letters a day, 0 is no ceiling; every ceiling is shared by `shares`.

    Raises SpoolUnavailableError.
    """

    def __init__(self, database: Database, clock: Clock, most: int, shares: Shares = USUAL) -> None:
        self._database = database
        self._clock = clock
        self._most = most
        self._shares = shares

    @property
    def most(self) -> int:
        """The operator's ceiling, 0 for none."""
        return self._most

    @property
    def shares(self) -> Shares:
        """How the day is shared."""
        return self._shares

    async def take(self, network: Network = Network.DIRECT, ceilings: Sequence[Ceiling] = ()) -> datetime | None:
        """Count one letter of `network` that leaves now under `ceilings` too; when to ask again if it may not."""
        if not self._most and not ceilings:
            return None
        now = self._clock.now()
        day = to_millis(now.replace(hour=0, minute=0, second=0, microsecond=0))

        def work(connection: Connection) -> datetime | None:
            rooms: list[tuple[str, Room]] = []
            if self._most:
                rooms.append((OPERATORS, Room(self._most, _left(connection, day, OPERATORS))))
            for one in ceilings:
                left = _left(connection, day, one.place)
                rooms.append((one.place, Room(max(0, one.remaining) + sum(left.values()), left)))
            waits = [room.opens(network, self._shares, now) for _, room in rooms]
            latest = max((at for at in waits if at is not None), default=None)
            if latest is None:
                for place, _ in rooms:
                    connection.execute(_ADD, (day, place, network.value))
            return latest

        return await self._database.write(work)

    async def waiting(self, network: Network) -> int:
        """Letters of `network` that wait for their departure."""
        now = to_millis(self._clock.now())
        bindings = (network.value, now, now + 30 * int(_DAY.total_seconds() * 1000))

        def work(connection: Connection) -> int:
            return _count(connection, _WAITING, bindings)

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
