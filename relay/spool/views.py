"""What people and programs are shown of the spool: reads only, in SQL that every database knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection
from relay.event import EventKind
from relay.ids import SpoolId
from relay.policy.state import State
from relay.spool.inquiry import AttemptView, DeliveryView, EventView, LaneFigures, MessageView, QueueFilter
from relay.spool.rows import column_transcript, column_warmth, load
from relay.spool.work import Door

_DELIVERY = (
    "SELECT m.id, d.n, r.address, l.domain, d.state, d.attempts, d.due, d.initial, l.site, d.source,"
    " d.warm_up, d.promised FROM delivery d JOIN message m ON m.seq = d.message JOIN lane l ON l.id = d.lane"
    " LEFT JOIN recipient r ON r.message = d.message AND r.n = d.n"
)

_KEYS = (
    "SELECT d.message, d.n, d.lane, d.state FROM delivery d JOIN message m ON m.seq = d.message"
    " JOIN lane l ON l.id = d.lane LEFT JOIN recipient r ON r.message = d.message AND r.n = d.n"
)


def message_view(connection: Connection, spool_id: SpoolId, tenant: int | None) -> MessageView | None:
    """The life of one message."""
    row = next(
        iter(
            connection.execute(
                "SELECT m.seq, m.tenant, coalesce(t.name, CAST(m.tenant AS TEXT)), m.door, m.stream, m.reverse_path,"
                " m.size, m.accepted_at, m.expires_at, m.labels, m.send_at"
                " FROM message m LEFT JOIN tenant t ON t.id = m.tenant WHERE m.id = ?",
                (spool_id,),
            )
        ),
        None,
    )
    if row is None or (tenant is not None and row[1] != tenant):
        return None
    seq = row[0]
    labels = load(row[9])
    return MessageView(
        id=spool_id,
        tenant=str(row[2]),
        tenant_id=row[1],
        door=Door(row[3]),
        stream=row[4],
        reverse_path=row[5] or "",
        size=row[6],
        accepted_at=from_millis(row[7]),
        expires_at=from_millis(row[8]),
        tags=tuple(labels.get("tags", ())),
        metadata=labels.get("metadata", {}),
        deliveries=tuple(map(_delivery, connection.execute(f"{_DELIVERY} WHERE d.message = ? ORDER BY d.n", (seq,)))),
        attempts=tuple(_attempts(connection, seq)),
        events=tuple(_events(connection, seq, spool_id)),
        send_at=None if row[10] is None else from_millis(row[10]),
        seq=seq,
    )


def _delivery(row: tuple[Any, ...]) -> DeliveryView:
    state = State(row[4])
    due = from_millis(row[6]) if row[6] is not None and not state.final else None
    return DeliveryView(
        SpoolId(row[0]),
        row[1],
        row[2],
        row[3],
        state,
        row[5],
        due,
        State(row[7]),
        row[8] or "",
        row[9] or "",
        column_warmth(row[10], row[11]),
    )


def _attempts(connection: Connection, seq: int) -> Iterator[AttemptView]:
    for n, number, at, detail, transcript in connection.execute(
        "SELECT n, number, at, detail, transcript FROM attempt WHERE message = ? ORDER BY at, n", (seq,)
    ):
        yield AttemptView(n, number, from_millis(at), load(detail), column_transcript(transcript))


def _events(connection: Connection, seq: int, spool_id: SpoolId) -> Iterator[EventView]:
    for cursor, at, n, kind, detail in connection.execute(
        "SELECT seq, at, n, kind, detail FROM event WHERE message = ? ORDER BY seq", (seq,)
    ):
        yield EventView(cursor, from_millis(at), spool_id, n, EventKind(kind), load(detail))


def original(connection: Connection, seq: int) -> bytes:
    """The prelude and the beginning of the content; empty when there is none."""
    pieces = list(
        connection.execute(
            "SELECT m.prelude, c.data FROM message m JOIN content c ON c.message = m.seq WHERE m.seq = ?"
            " ORDER BY c.piece LIMIT 2",  # the first may be the header alone
            (seq,),
        )
    )
    if not pieces:
        return b""
    return (pieces[0][0] or b"") + b"".join(bytes(data) for _, data in pieces)


def condition(where: QueueFilter) -> tuple[str, list[Any]]:
    """The SQL condition of a filter over delivery d, message m, lane l, recipient r, and its `?` bindings."""
    terms = [f"d.state IN ({','.join(str(int(state)) for state in where.states)})"]
    values: list[Any] = []
    for term, value in (
        ("l.domain = ?", where.domain.lower()),
        ("l.site = ?", where.site.lower()),
        ("m.tenant = (SELECT id FROM tenant WHERE name = ?)", where.tenant),
        ("lower(m.reverse_path) = lower(?)", where.sender),
        ("lower(r.address) = lower(?)", where.recipient),
        ("m.id = ?", where.message),
        ("m.accepted_at < ?", to_millis(where.older_than) if where.older_than else None),
    ):
        if value:
            terms.append(term)
            values.append(value)
    return " AND ".join(terms), values


def deliveries_view(connection: Connection, where: QueueFilter) -> list[DeliveryView]:
    """Deliveries that match, oldest first."""
    terms, values = condition(where)
    rows = connection.execute(
        f"{_DELIVERY} WHERE {terms} ORDER BY d.message, d.n LIMIT ?",
        (*values, where.limit),
    )
    return [_delivery(row) for row in rows]


def deliveries_named(connection: Connection, keys: Sequence[tuple[int, int]]) -> list[DeliveryView]:
    """Deliveries by number of message and recipient, in that order; unknown ones are left out."""
    query = f"{_DELIVERY} WHERE d.message = ? AND d.n = ?"
    return [_delivery(row) for key in keys for row in connection.execute(query, key)]


def matching(connection: Connection, where: QueueFilter) -> list[tuple[int, int, int, State]]:
    """(message, n, lane, state) of the deliveries a filter means, oldest first."""
    terms, values = condition(where)
    rows = connection.execute(f"{_KEYS} WHERE {terms} ORDER BY d.message, d.n LIMIT ?", (*values, where.limit))
    return [(seq, n, lane, State(state)) for seq, n, lane, state in rows]


def count_matching(connection: Connection, where: QueueFilter) -> int:
    """How many deliveries a filter means."""
    terms, values = condition(where)
    counting = f"SELECT count(*) FROM ({_KEYS} WHERE {terms}) AS found"  # noqa: S608 - terms are ours, values bound
    return int(next(iter(connection.execute(counting, values)))[0])


def count_signed(connection: Connection, domain: str | None, before: int) -> int:
    """How many unfinished messages accepted before a time carry a signature of `domain` (None: any)."""
    term, values = ("", ()) if domain is None else (" AND m.sign_as = ?", (domain,))
    unfinished = " UNION ".join(f"SELECT message FROM delivery WHERE state = {n}" for n in (1, 2, 3))  # noqa: S608
    rows = connection.execute(
        f"SELECT count(*) FROM ({unfinished}) u JOIN message m ON m.seq = u.message"  # noqa: S608 - terms of ours
        f" WHERE m.prelude IS NOT NULL AND m.sign_as IS NOT NULL AND m.accepted_at < ?{term}",
        (before, *values),
    )
    return int(next(iter(rows))[0])


_LANES: Final = """
SELECT coalesce(t.name, CAST(l.tenant AS TEXT)), l.domain, q.waiting, q.leased, q.held, m.accepted_at, q.due,
  coalesce(l.site, '')
FROM (
  SELECT lane, CAST(sum(waiting) AS BIGINT) AS waiting, CAST(sum(leased) AS BIGINT) AS leased,
    CAST(sum(held) AS BIGINT) AS held, min(first) AS first, min(due) AS due
  FROM (
    SELECT lane, count(*) AS waiting, 0 AS leased, 0 AS held, min(message) AS first, min(due) AS due
    FROM delivery WHERE state = 1 GROUP BY lane
    UNION ALL
    SELECT lane, 0, count(*), 0, min(message), CAST(NULL AS BIGINT) FROM delivery WHERE state = 2 GROUP BY lane
    UNION ALL
    SELECT lane, 0, 0, count(*), min(message), CAST(NULL AS BIGINT) FROM delivery WHERE state = 3 GROUP BY lane
  ) AS by_state GROUP BY lane
) AS q JOIN lane l ON l.id = q.lane JOIN message m ON m.seq = q.first LEFT JOIN tenant t ON t.id = l.tenant
ORDER BY q.waiting + q.leased + q.held DESC, l.domain
"""


def lanes_view(connection: Connection) -> list[LaneFigures]:
    """Unfinished deliveries by tenant and domain, the longest lanes first.

    Counted where they are indexed by lane; of the messages only each lane's first is looked at, for its time. A million
    rows joined one by one would take seconds.
    """
    rows = connection.execute(_LANES)
    return [
        LaneFigures(
            str(tenant),
            domain,
            waiting,
            leased,
            held,
            from_millis(oldest) if oldest is not None else None,
            from_millis(due) if due is not None else None,
            site,
        )
        for tenant, domain, waiting, leased, held, oldest, due, site in rows
    ]
