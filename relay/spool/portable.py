"""What a spool does alike on every database: it shows itself, suspends paths, and watches who has vanished.

The SQL here is what all of them understand; each spool adds what its database does in a way of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from relay import metrics
from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Database
from relay.database.statements import rows_of
from relay.event.feed import EventFilter, EventPage, FeedEvent, Position
from relay.ids import SpoolId
from relay.spool.bodies import give_up, measure, next_piece
from relay.spool.control import suspend, suspensions
from relay.spool.dues import last_written, mend
from relay.spool.feed import events_named, events_page, last_event
from relay.spool.inquiry import DeliveryView, LaneFigures, MessageFilter, MessageView, QueueFilter, SearchPage
from relay.spool.life import Ending, Life, Pulse
from relay.spool.orders import Alarm, Suspension
from relay.spool.rescheduling import reschedule
from relay.spool.search import search
from relay.spool.silence import Silence
from relay.spool.tags import TagHour, tag_hours, tags_of
from relay.spool.views import count_matching, count_signed, deliveries_view, lanes_view, message_view, original
from relay.spool.work import Incarnation, Settlement, StoredContent

_LIVING: Final = (
    "SELECT id, node, worker, started, coalesce(place, '') FROM incarnation WHERE ended IS NULL ORDER BY id"
)

SUCCESSOR: Final = (
    "SELECT newer.place FROM incarnation AS older JOIN incarnation AS newer ON newer.node = older.node"
    " AND newer.worker = older.worker AND newer.id > older.id AND newer.ended IS NULL WHERE older.id = "
)
"""Of a life that was ended (its number follows): where the one runs that took its place."""

PATIENCE_SECONDS: Final = 30.0
"""How long an accept waits for its transaction to begin before the client is told to come back."""


class PortableSpool:
    """The half of `relay.spool.contract.Spool` that needs no dialect."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._shown = database
        self._clock = clock
        self._silence = Silence(clock)

    def _now(self) -> int:
        return to_millis(self._clock.now())

    async def message(self, message: SpoolId, tenant: int | None = None) -> MessageView | None:
        return await self._shown.read(lambda connection: message_view(connection, message, tenant))

    async def search(self, where: MessageFilter) -> SearchPage:
        return await self._shown.read(lambda connection: search(connection, where))

    async def tags(self, tenant: int) -> list[str]:
        return await self._shown.read(lambda connection: tags_of(connection, tenant))

    async def has_tag(self, tenant: int, tag: str) -> bool:
        sql = "SELECT 1 FROM message_tag WHERE tenant = ? AND tag = ? LIMIT 1"
        return bool(await rows_of(self._shown, sql, (tenant, tag)))

    async def tag_hours(self, tenant: int, tags: Sequence[str], since: datetime) -> list[TagHour]:
        return await self._shown.read(lambda connection: tag_hours(connection, tenant, tags, since))

    async def events(self, where: EventFilter) -> EventPage:
        return await self._shown.read(lambda connection: events_page(connection, self._shown.dialect, where))

    async def last_event(self) -> Position:
        return await self._shown.read(lambda connection: last_event(connection, self._shown.dialect))

    async def events_named(self, seqs: Sequence[int], tenant: int) -> list[FeedEvent]:
        return await self._shown.read(lambda connection: events_named(connection, self._shown.dialect, seqs, tenant))

    async def deliveries(self, where: QueueFilter) -> list[DeliveryView]:
        return await self._shown.read(lambda connection: deliveries_view(connection, where))

    async def signed_before(self, domain: str | None, moment: datetime) -> int:
        return await self._shown.read(lambda connection: count_signed(connection, domain, to_millis(moment)))

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
        rows = await rows_of(
            self._shown, "SELECT kind, subject, since, detail FROM alarm ORDER BY since, kind, subject"
        )
        return [Alarm(kind, subject, from_millis(since), detail) for kind, subject, since, detail in rows]

    async def open_content(self, seq: int) -> StoredContent:
        return await self._shown.read(lambda connection: measure(connection, seq))

    async def next_piece(self, seq: int, after: int) -> tuple[int, bytes] | None:
        return await self._shown.read(lambda connection: next_piece(connection, seq, after))

    async def give_up_body(self, seq: int) -> None:
        await self._shown.write(lambda connection: give_up(connection, seq))

    async def original(self, seq: int) -> bytes:
        return await self._shown.read(lambda connection: original(connection, seq))

    async def last_written(self) -> datetime | None:
        at = await self._shown.read(last_written)
        return None if at is None else from_millis(at)

    async def last_alive(self) -> datetime | None:
        ((at,),) = await rows_of(self._shown, "SELECT max(heartbeat) FROM incarnation")
        return None if at is None else from_millis(at)

    async def reschedule(self, seq: int, send_at: datetime) -> bool:
        return await self._shown.write(lambda connection: reschedule(connection, seq, to_millis(send_at), self._now()))

    async def mend_dues(self, waits: Sequence[timedelta]) -> int:
        milliseconds = [wait // timedelta(milliseconds=1) for wait in waits]
        return await self._shown.write(lambda connection: mend(connection, milliseconds, self._now()))

    async def living(self) -> list[Life]:
        rows = await rows_of(self._shown, _LIVING)
        return [
            Life(Incarnation(one), node, worker, from_millis(started), place)
            for one, node, worker, started, place in rows
        ]


def ended_pulse(successor: list[tuple[str | None]]) -> Pulse:
    """The answer to a life that was ended, from the rows of `SUCCESSOR`."""
    return Pulse(Ending.REPLACED, successor[0][0] or "") if successor else Pulse(Ending.MISSED)


def count_settled(settlements: Sequence[Settlement], applied: Sequence[bool]) -> int:
    """Tell the metrics what became of settlements; the number applied."""
    for settlement, in_time in zip(settlements, applied, strict=True):
        if in_time:
            metrics.settled.labels(settlement.state.label).inc()
        else:
            metrics.late_results.inc()
    return sum(applied)
