"""Looking for messages: the newest first, by indexes, at a bounded cost however many there are.

The filter that names fewest messages leads: a recipient, a tag, a sender, a failure; without any of these the messages
themselves, from the newest on. At most `WINDOW` of what leads is looked at for one page, so a page may be short, or
empty, and still not be the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection
from relay.ids import SpoolId, base32
from relay.policy.state import State
from relay.spool.inquiry import FoundDelivery, FoundMessage, MessageFilter, SearchPage
from relay.spool.rows import load

WINDOW: Final = 5000
_WINDOWS: Final = 4
SHOWN: Final = 10
"""Deliveries shown of each message; the life of the message has all."""

_FAILED: Final = (State.BOUNCED, State.EXPIRED, State.SUPPRESSED, State.CANCELLED, State.RETURNED)
_EARLIER: Final = 10_000
"""How far a number may stand from its place by time: nodes draw numbers and take times apart."""
_EVERYTHING: Final = 2**62
_BY_SENDER: Final = "message WHERE {} AND lower(reverse_path) = lower(?) AND reverse_path IS NOT NULL"


def search(connection: Connection, where: MessageFilter) -> SearchPage:
    """Messages that fit everything given; a few windows are looked at before an empty page is given."""
    page = _page(connection, where)
    for _ in range(_WINDOWS - 1):
        if page.messages or page.cursor is None:
            break
        page = _page(connection, replace(where, cursor=page.cursor))
    return page


def _page(connection: Connection, where: MessageFilter) -> SearchPage:
    lead, values = _lead(where)
    upper, lower = _bounds(connection, where)
    span = (upper, lower)
    ends = list(connection.execute(f"{lead} LIMIT 1 OFFSET {WINDOW - 1}", (*values, *span)))
    terms, given = _conditions(where)
    rows = list(
        connection.execute(
            "SELECT m.seq, m.id, m.accepted_at, m.reverse_path, m.stream, m.labels, m.size, m.open FROM message m"  # noqa: S608
            f" WHERE m.seq IN (SELECT seq FROM ({lead} LIMIT {WINDOW}) AS lead) AND {terms}"
            " ORDER BY m.seq DESC LIMIT ?",
            (*values, *span, *given, where.limit),
        )
    )
    deliveries = _deliveries(connection, [row[0] for row in rows])
    found = tuple(_found(row, deliveries) for row in rows)
    if len(rows) == where.limit:
        return SearchPage(found, rows[-1][0])
    return SearchPage(found, ends[0][0] if ends else None)


def _lead(where: MessageFilter) -> tuple[str, tuple[Any, ...]]:
    """The query that gives the numbers of candidates, the newest first; two more bindings bound them."""
    column = "message"
    values: tuple[Any, ...] = ()
    # Written so that the indexes, which begin with the tenant, are of use for all of them too.
    whose = "tenant IN (SELECT id FROM tenant)" if where.tenant is None else "tenant = ?"
    tenant: tuple[Any, ...] = () if where.tenant is None else (where.tenant,)
    if where.recipient:
        source, values = "recipient WHERE lower(address) = lower(?)", (where.recipient,)
    elif where.tag:
        source, values = f"message_tag WHERE {whose} AND tag = ?", (*tenant, where.tag)
    elif where.sender:
        column, source = "seq", _BY_SENDER.format(whose)
        values = (*tenant, where.sender)
    elif where.state in _FAILED:
        source = f"delivery WHERE state IN ({', '.join(str(int(state)) for state in _FAILED)})"
    else:
        column, source = "seq", "message WHERE 1 = 1"
    query = f"SELECT DISTINCT {column} AS seq FROM {source} AND {column} < ? AND {column} > ? ORDER BY seq DESC"  # noqa: S608
    return query, values


def _bounds(connection: Connection, where: MessageFilter) -> tuple[int, int]:
    """Between which numbers, both excluded, the messages lie: after the cursor, and about in the span of time."""
    upper = _EVERYTHING if where.cursor is None else where.cursor
    lower = -1
    if where.before is not None:
        first = _number_at(connection, to_millis(where.before), "id >= ? ORDER BY id ASC")
        upper = min(upper, upper if first is None else first + _EARLIER)
    if where.after is not None:
        last = _number_at(connection, to_millis(where.after), "id < ? ORDER BY id DESC")
        lower = -1 if last is None else last - _EARLIER
    return upper, lower


def id_at(millis: int) -> str:
    """The least id that a message of this time, in milliseconds since the epoch, can have."""
    return base32(max(millis, 0).to_bytes(6) + bytes(10))


def _number_at(connection: Connection, millis: int, condition: str) -> int | None:
    """The number of the message next to a time, by the time in the ids."""
    id_then = id_at(millis)
    for (seq,) in list(connection.execute(f"SELECT seq FROM message WHERE {condition} LIMIT 1", (id_then,))):  # noqa: S608
        return int(seq)
    return None


def _conditions(where: MessageFilter) -> tuple[str, list[Any]]:
    """Everything that is asked of a message m, with its bindings."""
    terms: list[str] = ["1 = 1"] if where.tenant is None else ["m.tenant = ?"]
    values: list[Any] = [] if where.tenant is None else [where.tenant]
    for term, value in (
        ("lower(m.reverse_path) = lower(?)", where.sender),
        ("m.stream = ?", where.stream),
        ("m.accepted_at < ?", None if where.before is None else to_millis(where.before)),
        ("m.accepted_at >= ?", None if where.after is None else to_millis(where.after)),
        (
            "EXISTS (SELECT 1 FROM message_tag g WHERE g.tenant = m.tenant AND g.tag = ? AND g.message = m.seq)",
            where.tag,
        ),
        ("EXISTS (SELECT 1 FROM delivery d WHERE d.message = m.seq AND d.state = ?)", where.state),
        (
            "EXISTS (SELECT 1 FROM recipient r WHERE r.message = m.seq AND lower(r.address) = lower(?))",
            where.recipient,
        ),
    ):
        if value:
            terms.append(term)
            values.append(int(value) if isinstance(value, State) else value)
    return " AND ".join(terms), values


def _deliveries(connection: Connection, seqs: Sequence[int]) -> dict[int, list[FoundDelivery]]:
    found: dict[int, list[FoundDelivery]] = {}
    if not seqs:
        return found
    marks = ",".join("?" * len(seqs))
    rows = connection.execute(
        "SELECT d.message, d.n, r.address, d.state FROM delivery d"  # noqa: S608 - marks only
        " LEFT JOIN recipient r ON r.message = d.message AND r.n = d.n"
        f" WHERE d.message IN ({marks}) AND d.n < {SHOWN} ORDER BY d.message, d.n",
        seqs,
    )
    for seq, n, address, state in rows:
        found.setdefault(seq, []).append(FoundDelivery(n, address, State(state)))
    return found


def _found(row: tuple[Any, ...], deliveries: dict[int, list[FoundDelivery]]) -> FoundMessage:
    seq, message, accepted_at, sender, stream, labels, size, unfinished = row
    return FoundMessage(
        SpoolId(message),
        from_millis(accepted_at),
        sender or "",
        stream,
        tuple(load(labels).get("tags", ())),
        size,
        unfinished,
        tuple(deliveries.get(seq, ())),
    )
