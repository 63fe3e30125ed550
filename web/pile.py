"""The piles that wait for a person: how long each may grow, and how its room is shared.

Held letters are one pile, notices of unlawful content another, held replies a third, so that a flood of one keeps out
none of the others. Each kind of network has a guaranteed part of the first two (`web.shares`), and one network may add
a fiftieth of a pile a day: whoever floods them fills no more than their own part. The bound may be passed by what is
being sent in that moment. No reply comes by a network of its own; one that finds no room waits at the relay.
Recipients' reports have none: a report needs a letter that left, and those are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from relay.database.contract import Connection, Database
from web.network import Network
from web.shares import USUAL, Room, Shares

USUAL_MOST: Final = 1000
"""About what a few people decide within the 48 hours that a letter waits."""
NEARLY: Final = 80
"""From so many per cent on a person is called."""
EASED: Final = 60
"""Below so many per cent that is over."""
RETRY_AFTER: Final = 3600
"""Seconds after which somebody who found a pile full may ask again."""

_PART_OF_ONE: Final = 50
_HELD: Final = "SELECT network, COUNT(*) FROM web_handover WHERE held_until IS NOT NULL GROUP BY network"
_NOTICES: Final = "SELECT network, COUNT(*) FROM web_notice WHERE outcome IS NULL GROUP BY network"


@dataclass(frozen=True, slots=True)
class Pile:
    """At most `most` may wait in each pile."""

    most: int = USUAL_MOST
    shares: Shares = USUAL

    @property
    def of_one(self) -> int:
        """How much one network may add in a day."""
        return max(1, self.most // _PART_OF_ONE)

    def has_room(self, waiting: Mapping[Network, int], network: Network) -> bool:
        """Whether one more of `network` may wait beside `waiting`."""
        return Room(self.most, waiting).free(network, self.shares, 1.0) > 0

    def filled(self, waiting: Mapping[Network, int]) -> int:
        """How full a pile is for the kind of network that has least of its part left, in per cent."""
        total = sum(waiting.values())

        def left(network: Network, beside: Mapping[Network, int], used: int) -> float:
            return Room(self.most, beside).open_to(network, self.shares, 1.0) - used

        parts = {network: left(network, {}, 0) for network in Network}
        return max(int(100 - 100 * left(kind, waiting, total) / part) for kind, part in parts.items() if part > 0)

    def filled_by(self, waiting: int) -> int:
        """The same of a pile in which no network has a part."""
        return 100 * waiting // max(1, self.most)


def held_letters(connection: Connection) -> dict[Network, int]:
    """The letters that wait for a person, by kind of network."""
    return {Network(network): count for network, count in connection.execute(_HELD)}


def open_notices(connection: Connection) -> dict[Network, int]:
    """The notices that nobody has decided, likewise."""
    return {Network(network): count for network, count in connection.execute(_NOTICES)}


class HeldPile:
    """The pile of held letters in the front's tables."""

    def __init__(self, database: Database, pile: Pile) -> None:
        self._database = database
        self.bounds = pile

    def has_room(self, connection: Connection, network: Network) -> bool:
        """Whether one more letter of `network` may wait, within a transaction that is open already."""
        return self.bounds.has_room(held_letters(connection), network)

    async def takes(self, network: Network) -> bool:
        """The same, by itself. Raises SpoolUnavailableError."""
        return await self._database.read(lambda connection: self.has_room(connection, network))
