"""Room on the database server's disk: nobody can ask for it in SQL, so it is found out by writing.

Once the server has said that its disk is full, new mail is refused until a trial of some size fits: what little room is
left belongs to deliveries that end. The trial is a temporary table, rolled back, so it leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from relay.errors import SpoolFullError

AGAIN_SECONDS: Final = 1.0
"""Between two trials."""

TRIAL: Final = (
    "BEGIN; CREATE TEMPORARY TABLE leak_room (data BYTEA) ON COMMIT DROP;"
    " ALTER TABLE leak_room ALTER COLUMN data SET STORAGE EXTERNAL;"
    " INSERT INTO leak_room SELECT decode(repeat('00', 1048576), 'hex') FROM generate_series(1, 8); ROLLBACK"
)
"""Eight MiB: the same disk takes the WAL of everything that ends."""


class Room:
    """Whether the disk is full, as far as we know; `trial` raises SpoolFullError while it is."""

    def __init__(self, trial: Callable[[], Awaitable[Any]]) -> None:
        self._trial = trial
        self._full = False
        self._next = 0.0

    def ran_out(self) -> None:
        """The server said so."""
        self._full = True

    async def check(self) -> None:
        """Raise SpoolFullError while the disk is full; costs nothing while it is not known to be."""
        if not self._full:
            return
        now = asyncio.get_running_loop().time()
        if now < self._next:
            raise SpoolFullError("no room on the database server's disk")
        self._next = now + AGAIN_SECONDS
        await self._trial()
        self._full = False
