"""What a spool does alike on every database: it shows itself, suspends paths, and watches who has vanished.

The SQL here is what all of them understand; each spool adds what its database does in a way of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from relay import metrics
from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Database
from relay.event.feed import EventFilter, EventPage, FeedEvent, Position
from relay.ids import SpoolId
from relay.spool.contract import (
    Alarm,
    DeliveryView,
    Incarnation,
    LaneFigures,
    Life,
    MessageView,
    QueueFilter,
    Settlement,
    Suspension,
)
from relay.spool.control import suspend, suspensions
from relay.spool.dues import last_written, mend
from relay.spool.feed import events_named, events_page, last_event
from relay.spool.views import count_matching, deliveries_view, lanes_view, message_view

VANISHED_SECONDS: Final = 60.0
"""Silence after which an incarnation counts as vanished; a dead worker's successor voids its leases at once."""

PATIENCE_SECONDS: Final = 30.0
"""How long an accept waits for its transaction to begin before the client is told to come back."""


class PortableSpool:
    """The half of `relay.spool.contract.Spool` that needs no dialect."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._shown = database
        self._clock = clock
        self._beats: dict[int, tuple[int, float]] = {}

    def _now(self) -> int:
        return to_millis(self._clock.now())

    async def message(self, message: SpoolId, tenant: int | None = None) -> MessageView | None:
        return await self._shown.read(lambda connection: message_view(connection, message, tenant))

    async def events(self, where: EventFilter) -> EventPage:
        return await self._shown.read(lambda connection: events_page(connection, self._shown.dialect, where))

    async def last_event(self) -> Position:
        return await self._shown.read(lambda connection: last_event(connection, self._shown.dialect))

    async def events_named(self, seqs: Sequence[int], tenant: int) -> list[FeedEvent]:
        return await self._shown.read(lambda connection: events_named(connection, self._shown.dialect, seqs, tenant))

    async def deliveries(self, where: QueueFilter) -> list[DeliveryView]:
        return await self._shown.read(lambda connection: deliveries_view(connection, where))

    async def lanes(self) -> list[LaneFigures]:
        return await self._shown.read(lanes_view)

    async def count(self, where: QueueFilter) -> int:
        return await self._shown.read(lambda connection: count_matching(connection, where))

    async def suspend(self, suspension: Suspension) -> int:
        until = to_millis(suspension.until)
        return await self._shown.write(lambda connection: suspend(connection, suspension, until, self._now()))

    async def suspensions(self) -> list[Suspension]:
        return await self._shown.read(lambda connection: suspensions(connection, self._now()))

    async def alarms(self) -> list[Alarm]:
        rows = await self._shown.read(
            lambda connection: list(
                connection.execute("SELECT kind, subject, since, detail FROM alarm ORDER BY since, kind, subject")
            )
        )
        return [Alarm(kind, subject, from_millis(since), detail) for kind, subject, since, detail in rows]

    async def last_written(self) -> datetime | None:
        at = await self._shown.read(last_written)
        return None if at is None else from_millis(at)

    async def mend_dues(self, waits: Sequence[timedelta]) -> int:
        milliseconds = [wait // timedelta(milliseconds=1) for wait in waits]
        return await self._shown.write(lambda connection: mend(connection, milliseconds, self._now()))

    async def living(self) -> list[Life]:
        rows = await self._shown.read(
            lambda connection: list(
                connection.execute("SELECT id, node, worker, started FROM incarnation WHERE ended IS NULL ORDER BY id")
            )
        )
        return [Life(Incarnation(one), node, worker, from_millis(started)) for one, node, worker, started in rows]

    def _vanished(self, beats: Iterable[tuple[int, int]]) -> list[int]:
        """Of the living (incarnation, heartbeat), those whose heartbeat stood still too long by our monotonic clock.

        Comparing wall times would end every other worker when the clock jumps (R27), while they still send.
        """
        at = self._clock.monotonic()
        seen: dict[int, tuple[int, float]] = {}
        for one, beat in beats:
            earlier = self._beats.get(one)
            seen[one] = earlier if earlier is not None and earlier[0] == beat else (beat, at)
        self._beats = seen
        return [one for one, (_, since) in seen.items() if at - since > VANISHED_SECONDS]


def count_settled(settlements: Sequence[Settlement], applied: Sequence[bool]) -> int:
    """Tell the metrics what became of settlements; the number applied."""
    for settlement, in_time in zip(settlements, applied, strict=True):
        if in_time:
            metrics.settled.labels(settlement.state.label).inc()
        else:
            metrics.late_results.inc()
    return sum(applied)
