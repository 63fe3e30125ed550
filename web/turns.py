"""One after the other: what is counted before it is added to, whoever shares the database.

SQLite has one writer, so that counting and adding are one step there. PostgreSQL runs writers side by side, none of
which sees what the others have not committed: without a turn, ten forms sent at once would all find the same room.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from relay.database.contract import Connection

_OURS: Final = 0x6C656166
"""Sets these locks apart from others of the database."""


class Turn(Enum):
    """What one at a time does; a transaction takes one of them at most, so that none waits for another in a circle."""

    LIMITS = 1
    DEPARTURES = 2
    LANE = 3
    NOTICES = 4
    AUDIT = 5


def take_turn(connection: Connection, dialect: str, turn: Turn) -> None:
    """Wait until no other transaction has this turn; it ends with the transaction. The first thing in it."""
    if dialect == "postgres":
        # READ COMMITTED: statements after this one see what the one before us has committed.
        list(connection.execute("SELECT pg_advisory_xact_lock(?, ?)", (_OURS, turn.value)))
