"""The slow lane: who is over a limit, or comes in a crowd, gets a place in a row instead of a refusal or a riddle.

A place is a ticket: signed, good for one letter from a time on, bound to nothing of whoever holds it. It cannot be
used twice because a letter is sent once, whatever it is sent with; so nothing is remembered of a ticket but the end of
the row, one number for each kind of network. No script and no cookie: the ticket waits in the form of the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from web.network import Network
from web.token import TokenSigner
from web.turns import Turn, take_turn

SOONEST: Final = timedelta(minutes=1)
"""How long even the first in the row waits."""

LONGEST: Final = timedelta(hours=6)
"""A row that is longer gives no tickets."""

LIFETIME: Final = timedelta(hours=24)
"""How long a ticket is good, from when it was given."""

_FASTEST: Final = timedelta(seconds=5)
_SLOWEST: Final = timedelta(minutes=15)
_USUAL: Final = timedelta(seconds=30)
_PURPOSE: Final = "ticket"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the row: from `at` on, its letter may be sent."""

    at: datetime
    token: str


def pace(letters_a_day: float | None) -> timedelta:
    """Between two places of a row that may send so many letters a day; None is no ceiling."""
    if letters_a_day is None:
        return _USUAL
    return min(_SLOWEST, max(_FASTEST, timedelta(days=1) / max(1.0, letters_a_day)))


class SlowLane:
    """Gives tickets and reads them."""

    def __init__(self, database: Database, tokens: TokenSigner, clock: Clock) -> None:
        self._database = database
        self._tokens = tokens
        self._clock = clock

    async def offer(self, letter_id: str, network: Network, step: timedelta) -> Ticket | None:
        """The next place for a letter; None if the row is too long. Raises SpoolUnavailableError."""
        now = to_millis(self._clock.now())
        soonest, longest = now + _millis(SOONEST), now + _millis(LONGEST)

        def work(connection: Connection) -> int | None:
            take_turn(connection, self._database.dialect, Turn.LANE)
            rows = list(connection.execute("SELECT next FROM web_lane WHERE network = ?", (network.value,)))
            end = rows[0][0] if rows else 0
            # No row ends later than a place at `longest` and its step: that was written by a clock that was ahead.
            at = max(soonest, end if end <= longest + _millis(_SLOWEST) else 0)
            if at > longest:
                return None
            sql = "INSERT INTO web_lane (network, next) VALUES (?, ?) ON CONFLICT (network) DO UPDATE SET next = ?"
            connection.execute(sql, (network.value, at + _millis(step), at + _millis(step)))
            return at

        at = await self._database.write(work)
        if at is None:
            return None
        token = self._tokens.sign(_PURPOSE, {"letter": letter_id, "at": str(at)})
        return Ticket(from_millis(at), token)

    def read(self, token: str, letter_id: str) -> Ticket | None:
        """The ticket in `token`, if it is one for this letter and still good."""
        opened = self._tokens.open(_PURPOSE, token) if token else None
        if opened is None or opened.age > LIFETIME or opened.payload["letter"] != letter_id:
            return None
        return Ticket(from_millis(int(opened.payload["at"])), token)


def _millis(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)
