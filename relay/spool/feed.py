"""The events of a spool as one stream in the order of their commits.

On SQLite one transaction writes at a time, so an event's number tells its place. On PostgreSQL numbers are drawn
before the commit: the stream is ordered by (transaction, number), and ends before the oldest transaction that is
still under way, which could yet commit an event in between. Whoever follows the cursors sees each event once.

A page costs a bounded number of rows however few of them the caller may see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from relay.clock import from_millis
from relay.database.contract import Connection
from relay.event import EventKind
from relay.event.feed import BEGINNING, EventFilter, EventPage, FeedEvent, Position
from relay.ids import SpoolId
from relay.spool.rows import load, wordless

WINDOW: Final = 5000
"""Events looked at for one page at most."""


FROM_ELSEWHERE: Final = "SELECT 1 FROM event WHERE tx >= pg_snapshot_xmax(pg_current_snapshot()) LIMIT 1"
"""Whether there are events of transactions that this server has yet to come to: they were dumped from another."""

ADOPT: Final = "UPDATE event SET tx = pg_current_xact_id()"
"""Gives all events the number of one transaction here; among themselves they keep their order."""

_AGAIN: Final = (
    "SELECT CAST(CAST(tx AS TEXT) AS BIGINT), seq FROM event"
    " WHERE seq <= ? AND CAST(CAST(? AS TEXT) AS xid8) >= pg_snapshot_xmax(pg_current_snapshot())"
    " ORDER BY seq DESC LIMIT 1"
)
"""Where the place of a cursor from that other server is here, by the number of its event."""


@dataclass(frozen=True, slots=True)
class _Words:
    """How a database says it: `tx` is a column, the others are conditions; `place` has the bindings of a position."""

    tx: str
    order: str
    above: str
    upto: str
    settled: str
    ordered_by_tx: bool

    def place(self, position: Position) -> tuple[Any, ...]:
        return (str(position.tx), position.seq) if self.ordered_by_tx else (position.seq,)


_WORDS: Final = {
    "sqlite": _Words("0", "e.seq {}", "e.seq > ?", "e.seq <= ?", "1 = 1", ordered_by_tx=False),
    "postgres": _Words(
        "CAST(CAST(e.tx AS TEXT) AS BIGINT)",
        "e.tx {0}, e.seq {0}",
        "(e.tx, e.seq) > (CAST(CAST(? AS TEXT) AS xid8), ?)",
        "(e.tx, e.seq) <= (CAST(CAST(? AS TEXT) AS xid8), ?)",
        "e.tx < pg_snapshot_xmin(pg_current_snapshot())",
        ordered_by_tx=True,
    ),
}

_COLUMNS: Final = (
    "e.seq, e.at, e.kind, m.id, m.tenant, e.n, r.address, m.reverse_path, m.stream, m.labels, e.detail"
    " FROM event e JOIN message m ON m.seq = e.message"
    " LEFT JOIN recipient r ON r.message = e.message AND r.n = e.n"
)


def last_event(connection: Connection, dialect: str) -> Position:
    """The newest position of the stream."""
    words = _WORDS[dialect]
    query = f"SELECT {words.tx}, e.seq FROM event e WHERE {words.settled} ORDER BY {words.order.format('DESC')} LIMIT 1"  # noqa: S608
    return _position(connection, query) or BEGINNING


def events_page(connection: Connection, dialect: str, where: EventFilter) -> EventPage:
    """The events after a position; `connection` sees one moment."""
    words, tip = _WORDS[dialect], last_event(connection, dialect)
    if tip < where.after and words.ordered_by_tx:
        place = _position(connection, _AGAIN, (where.after.seq, str(where.after.tx)))
        where = where if place is None else replace(where, after=place)
    if tip <= where.after:
        return EventPage((), where.after, more=False)
    order = words.order.format("ASC")
    window = (
        f"SELECT {words.tx}, e.seq FROM event e WHERE {words.above} AND {words.settled}"  # noqa: S608
        f" ORDER BY {order} LIMIT 1 OFFSET {max(WINDOW, where.limit) - 1}"
    )
    end = _position(connection, window, words.place(where.after)) or tip
    terms, values = [words.above, words.upto], [*words.place(where.after), *words.place(end)]
    if where.tenant is not None:
        terms.append("m.tenant = ?")
        values.append(where.tenant)
    if where.kinds:
        terms.append(f"e.kind IN ({','.join(str(int(kind)) for kind in sorted(where.kinds))})")
    query = f"SELECT {words.tx}, {_COLUMNS} WHERE {' AND '.join(terms)} ORDER BY {order} LIMIT ?"
    found = tuple(_event(row) for row in connection.execute(query, (*values, where.limit)))
    cursor = found[-1].position if len(found) == where.limit else end
    return EventPage(found, cursor, more=cursor < tip)


def events_named(connection: Connection, dialect: str, seqs: Sequence[int], tenant: int) -> list[FeedEvent]:
    """A tenant's events by their numbers, in order; unknown ones are left out."""
    if not seqs:
        return []
    marks = ",".join("?" * len(seqs))
    query = f"SELECT {_WORDS[dialect].tx}, {_COLUMNS} WHERE e.seq IN ({marks}) AND m.tenant = ? ORDER BY e.seq"
    return sorted((_event(row) for row in connection.execute(query, (*seqs, tenant))), key=lambda one: one.position)


def _position(connection: Connection, query: str, bindings: Sequence[Any] = ()) -> Position | None:
    for tx, seq in list(connection.execute(query, bindings)):
        return Position(tx, seq)
    return None


def _event(row: tuple[Any, ...]) -> FeedEvent:
    tx, seq, at, kind, message, tenant, n, address, sender, stream, labels, detail = row
    marked, told = load(labels), load(detail)
    unnamed = bool(marked.get("unnamed"))
    return FeedEvent(
        position=Position(tx, seq),
        at=from_millis(at),
        kind=EventKind(kind),
        message=SpoolId(message),
        tenant=tenant,
        n=n,
        address=None if unnamed else address,
        sender=sender or "",
        stream=stream,
        tags=tuple(marked.get("tags", ())),
        metadata=marked.get("metadata", {}),
        detail=wordless(told) if unnamed else told,
    )
