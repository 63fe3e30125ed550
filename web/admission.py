"""How many letters leave on a day, and of which kind of network: counted by all nodes together, days in UTC.

The binding limit against abuse from many addresses is the day's admission: the operator's ceiling, and what warm-up
allows at the provider a letter goes to. Both are shared between the kinds of network by `web.shares`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change
from web.network import Network
from web.row import FEW, SPREAD, Spot, count_ahead, is_rough, is_shared, leave_row
from web.shares import USUAL, Room, Shares
from web.turns import Turn, take_turn

OPERATORS: Final = ""
"""The place of the operator's own ceiling; others are a provider's name."""

_DAY: Final = timedelta(days=1)
_STEP: Final = timedelta(minutes=30)
_SOONEST: Final = timedelta(minutes=1)
_LEAST_PART: Final = 0.01
_COUNTS: Final = "SELECT network, letters FROM web_left WHERE day = ? AND place = ?"
_ADD: Final = """
INSERT INTO web_left (day, place, network, letters) VALUES (?, ?, ?, 1)
ON CONFLICT (day, place, network) DO UPDATE SET letters = web_left.letters + 1
"""
WAITING: Final = """
SELECT COUNT(*) FROM web_handover WHERE network = ? AND held_until IS NULL AND due > ? AND due < ?
  AND NOT EXISTS (SELECT 1 FROM web_waiting w WHERE w.letter_id = web_handover.letter_id)
"""
"""How many letters of a kind of network wait to leave within a time; not those that only ask."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What may leave today at `place`: `most` in all, or `remaining` beyond what was counted there."""

    place: str
    remaining: int = 0
    most: int | None = None
    daily: int = 0
    """What may leave there on a whole day, if it leaves evenly; 0: nobody told."""
    next: datetime | None = None
    """When the next one may leave, where that is not at once."""

    def opens(self, standing: Standing, shares: Shares, now: datetime) -> datetime | None:
        """When there is room for a letter that stands so; None at once."""
        flows = self._flows(standing, shares, now)
        if self.most is None and self.remaining <= 0:
            return max(flows, now + _SOONEST)
        most = self.remaining + sum(standing.left.values()) if self.most is None else self.most
        opens = Room(most, standing.left, self.daily).opens(standing.network, shares, now, standing.ahead)
        return opens if flows - now <= SPREAD else max(flows, opens or flows)

    def is_spent(self, standing: Standing, shares: Shares, now: datetime) -> bool:
        """Whether nothing of today's room is left to its kind; when the last letter left does not matter here."""
        at = replace(self, next=None).opens(replace(standing, ahead=0), shares, now)
        return (self.most is None and self.remaining <= 0) or (at is not None and at >= _tomorrow(now))

    def _flows(self, standing: Standing, shares: Shares, now: datetime) -> datetime:
        """When its turn comes in an even flow, of which each kind has its part as long as others wait too."""
        at = max(self.next or now, now)
        if not self.daily:
            return at
        gap = _DAY / self.daily
        if self.remaining > 0:
            gap = min(gap, (_tomorrow(now) - now) / self.remaining)
        if standing.shared:
            gap /= max(_LEAST_PART, shares.of(standing.network))
        return at + standing.ahead * gap


@dataclass(frozen=True, slots=True)
class Standing:
    """A letter of `network` before a ceiling, where `left` have left today; `shared`: other kinds wait there too."""

    network: Network
    left: Mapping[Network, int]
    ahead: int = 0
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """A letter in the row, at the place whose warm-up it needs ("" for nobody's): it wished to leave then."""

    place: str
    wished: datetime
    letter_id: str = ""
    """"": none that is kept already."""


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
        self,
        network: Network = Network.DIRECT,
        ceilings: Sequence[Ceiling] = (),
        waiting: Waiting | None = None,
        *,
        counts: bool = True,
    ) -> Spot | None:
        """Count one letter of `network` that leaves now under `ceilings` too; its spot in the row if it may not.

        Those that wait before it have the room first. Unless it `counts`, it is only asked whether one might leave.
        """
        if not self._most and not ceilings:
            return None
        now = self._clock.now()
        binding = [*([Ceiling(OPERATORS, most=self._most)] if self._most else []), *ceilings]

        def work(connection: Connection) -> Spot | None:
            if counts:
                take_turn(connection, self._database.dialect, Turn.DEPARTURES)
            standings = [_standing(connection, one, network, waiting, now) for one in binding]
            spot = self._spot(binding, standings, now)
            if spot is None and counts:
                for one in binding:
                    connection.execute(_ADD, (_today(now), one.place, network.value))
                if waiting is not None:
                    leave_row(connection, waiting.letter_id)
            return spot

        return await (self._database.write(work) if counts else self._database.read(work))

    def _spot(self, binding: Sequence[Ceiling], standings: Sequence[Standing], now: datetime) -> Spot | None:
        """Where the ceiling that opens last leaves a letter; None if all of them let it go."""
        latest: Spot | None = None
        has_room = all(
            one.opens(replace(standing, ahead=0), self._shares, now) is None
            for one, standing in zip(binding, standings, strict=True)
        )
        for one, standing in zip(binding, standings, strict=True):
            at = one.opens(standing, self._shares, now)
            if at is not None and (latest is None or at > latest.opens):
                # Room that is only kept for others may be left over; and tomorrow there may be more than today.
                ask = min(at, now + _STEP if has_room else _tomorrow(now))
                latest = self._told(Spot(one.place, standing.ahead, ask, at), one, standing, now)
        return latest

    def _told(self, spot: Spot, ceiling: Ceiling, standing: Standing, now: datetime) -> Spot:
        """`spot` with what is told instead of its moment, where that would tell how many stand before it."""
        if not is_rough(spot.waits_at, spot.ahead):
            return spot
        bound = ceiling.opens(replace(standing, ahead=FEW), self._shares, now)
        return replace(spot, bound=bound, is_spent=ceiling.is_spent(standing, self._shares, now))

    async def waiting(self, network: Network) -> int:
        """Letters of `network` that wait for their departure; not those that only ask, which have a brake apart."""
        now = to_millis(self._clock.now())
        bindings = (network.value, now, now + 30 * int(_DAY.total_seconds() * 1000))

        def work(connection: Connection) -> int:
            return _count(connection, WAITING, bindings)

        return await self._database.read(work)

    async def forget(self) -> None:
        """Delete the counts of days that are over."""
        before = to_millis(self._clock.now() - 2 * _DAY)
        await change(self._database, ("DELETE FROM web_left WHERE day < ?", (before,)))


def _standing(
    connection: Connection, ceiling: Ceiling, network: Network, waiting: Waiting | None, now: datetime
) -> Standing:
    left = _left(connection, _today(now), ceiling.place)
    if waiting is None:
        return Standing(network, left)
    place = OPERATORS if ceiling.place == OPERATORS else waiting.place
    ahead = count_ahead(connection, place, network, waiting.wished)
    return Standing(network, left, ahead, shared=ceiling.daily > 0 and is_shared(connection, place, network))


def _tomorrow(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY


def _today(now: datetime) -> int:
    return to_millis(_tomorrow(now) - _DAY)


def _left(connection: Connection, day: int, place: str) -> dict[Network, int]:
    return {Network(network): letters for network, letters in connection.execute(_COUNTS, (day, place))}


def _count(connection: Connection, sql: str, bindings: tuple[Any, ...]) -> int:
    ((found,),) = connection.execute(sql, bindings)
    return int(found)
