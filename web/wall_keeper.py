"""Looks after what happens by itself around the wall and the desk, once a minute beside the courier's rounds.

Offered letters that arrived a while ago go to the moderators; what waits for a moderator too long rings their bell.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from relay import metrics
from relay.client.contract import ModerationBell, RelayClient
from relay.clock import Clock
from relay.database.contract import Database
from relay.database.statements import rows_of
from web.backlog import Backlog, read_backlog
from web.pile import EASED, NEARLY, Pile
from web.timeline import Stage, Teller
from web.wall import WallStore

LATE: Final = timedelta(hours=12)
"""Who waits so long for a moderator waits too long: a report is answered within a day, a held letter within two."""
DUE_SOON: Final = timedelta(hours=48)
"""A request of an authority calls so long before it is owed its answer; one that has hours calls at once."""

_USUAL: Final = Pile()
_BATCH: Final = 50
_OUTBOX: Final = "SELECT COUNT(*) FROM web_handover"
_STATE_TIMEOUT: Final = 5.0
_AGAIN: Final = timedelta(hours=6)


class WallKeeper:
    """Moves offered letters on."""

    def __init__(self, wall: WallStore, relay: RelayClient, clock: Clock) -> None:
        self._wall = wall
        self._relay = relay
        self._clock = clock

    async def look(self) -> None:
        """Ask the relay about letters whose delay is over. Raises SpoolUnavailableError, TimeoutError."""
        for letter_id, message_id in await self._wall.arrivals(_BATCH):
            async with asyncio.timeout(_STATE_TIMEOUT):
                state = await self._relay.state(message_id)
            match Teller(self._clock.now()).at_relay(state).stage:
                case Stage.DELIVERED:
                    await self._wall.queue(letter_id)
                case Stage.UNDELIVERABLE | Stage.FORGOTTEN:
                    await self._wall.drop(letter_id)
                case _:
                    await self._wall.look_again(letter_id, _AGAIN)


class OutboxCounter:
    """Tells metrics how many letters the front has still to hand over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self) -> None:
        """Count. Raises SpoolUnavailableError."""
        [(letters,)] = await rows_of(self._database, _OUTBOX)
        metrics.letters_waiting.set(int(letters))


class BellRinger:
    """Says how much waits for a moderator longer than it should."""

    def __init__(self, database: Database, bell: ModerationBell, clock: Clock, pile: Pile = _USUAL) -> None:
        self._database = database
        self._bell = bell
        self._clock = clock
        self._pile = pile
        self._is_short = False

    async def ring(self) -> None:
        """Start, or end, the alarms; a threat to life rings without delay. Raises SpoolUnavailableError."""
        backlog = await read_backlog(self._database)
        late = backlog.oldest is not None and backlog.oldest < self._clock.now() - LATE
        letters, since = (backlog.total, backlog.oldest) if late else (0, None)
        due = sum(1 for moment in backlog.requests if moment <= self._clock.now() + DUE_SOON)
        await self._bell.letters_wait(letters, since, backlog.dangers, due, self._filled(backlog))

    def _filled(self, backlog: Backlog) -> int:
        """How full the fullest of the piles is, in per cent, from when it is nearly full until it has eased."""
        piles = (self._pile.filled(backlog.held_from), self._pile.filled(backlog.notices_from))
        filled = max(*piles, self._pile.filled_by(backlog.replies))
        self._is_short = filled >= (EASED if self._is_short else NEARLY)
        return filled if self._is_short else 0
