"""The window: how much a worker has in hand, in deliveries and in octets, so that memory stays flat.

What does not fit waits in the spool. Deliveries count from their lease to the commit of their settlement; a message's
content from the fast path until the last of its parcels needs it no more, one read back from the spool while its
attempt lasts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from relay import metrics
from relay.spool.work import Parcel, Settlement

SMALL: Final = 256 * 1024
"""Octets of content up to which a session need not wait for room to read it: sessions are bounded."""


STREAMED: Final = 1024 * 1024
"""Octets that a larger content takes while it is read and sent piece by piece: the piece, its wire form, buffers."""


class Window:
    """Bounded by `deliveries` and by `octets` of content."""

    def __init__(self, deliveries: int, octets: int) -> None:
        self._deliveries = deliveries
        self._octets = octets
        self._held = 0
        # Counted, not a set: a delivery given back may be claimed again before its settlement is heard of.
        self._hands: Counter[tuple[int, int]] = Counter()
        self._octets_held = 0
        self._contents: dict[int, set[int]] = {}
        self._reading = 0
        self._readers: list[asyncio.Future[None]] = []

    @property
    def room(self) -> int:
        """Deliveries that may still be taken; an accept under way may have made it negative."""
        return 0 if self._octets_held >= self._octets else self._deliveries - self._held

    def fits(self, deliveries: int, octets: int) -> bool:
        """Whether a message of so many deliveries and octets may be kept in memory."""
        return self.room >= deliveries and self._octets_held + octets <= self._octets

    def holds(self, seq: int, n: int) -> bool:
        """Whether a delivery is in hand."""
        return (seq, n) in self._hands

    def take(self, parcel: Parcel) -> None:
        """The parcel is in hand. Parcels of one message share its content: it counts once."""
        self._held += len(parcel.duties)
        self._hands.update((duty.seq, duty.n) for duty in parcel.duties)
        metrics.window.set(self._held)
        if parcel.content is None:
            return
        if parcel.seq not in self._contents:
            self._contents[parcel.seq] = set()
            self._octets_held += len(parcel.content)
        self._contents[parcel.seq].add(parcel.duties[0].n)

    def drop_content(self, parcel: Parcel) -> None:
        """The parcel's content is needed no more; asked again it changes nothing."""
        holders = self._contents.get(parcel.seq)
        if holders is None or parcel.content is None:
            return
        holders.discard(parcel.duties[0].n)
        if not holders:
            del self._contents[parcel.seq]
            self._octets_held -= len(parcel.content)
            self._wake()

    @asynccontextmanager
    async def reading(self, octets: int) -> AsyncIterator[None]:
        """Count a content that is read back from the spool, once there is room for it (R08).

        One large content is always let through, or contents that stand in line could keep each other waiting for ever.
        """
        large = octets > SMALL
        while large and self._reading and self._octets_held + octets > self._octets:
            turn = asyncio.get_running_loop().create_future()
            self._readers.append(turn)
            await turn
        self._reading += large
        self._octets_held += octets
        try:
            yield
        finally:
            self._reading -= large
            self._octets_held -= octets
            self._wake()

    def _wake(self) -> None:
        """Octets were let go: who waits for them looks again."""
        readers, self._readers = self._readers, []
        for turn in readers:
            if not turn.done():
                turn.set_result(None)

    def shrank(self, parcel: Parcel, left: Parcel) -> None:
        """Of a parcel's duties only those of `left` are still to be carried: it holds the content from now on."""
        holders = self._contents.get(parcel.seq)
        if holders is not None and parcel.duties[0].n in holders:
            holders.discard(parcel.duties[0].n)
            holders.add(left.duties[0].n)

    def settled(self, settlements: Sequence[Settlement]) -> None:
        """These settlements are committed."""
        self._held -= len(settlements)
        for settlement in settlements:
            key = (settlement.seq, settlement.n)
            self._hands[key] -= 1
            if not self._hands[key]:
                del self._hands[key]
        metrics.window.set(self._held)
