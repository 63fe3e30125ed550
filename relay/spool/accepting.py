"""Accept: the statements that make a promise, in one transaction of SQLite."""

from __future__ import annotations

from typing import Final

from relay.clock import to_millis
from relay.database.contract import Connection
from relay.event import EventKind
from relay.ids import SpoolId
from relay.mail.envelope import Recipient
from relay.policy.state import State
from relay.spool.bodies import adopt, write_content
from relay.spool.message_row import MESSAGE_COLUMNS, message_row
from relay.spool.rows import dump
from relay.spool.work import IdempotencyConflictError, NewMessage, Receipt

SUSPENDED: Final = (
    "EXISTS (SELECT 1 FROM suspension s WHERE s.until > ? AND (s.tenant IS NULL OR s.tenant = lane.tenant)"
    " AND (s.domain IS NULL OR s.domain = lane.domain) AND (s.site IS NULL OR s.site = lane.site) AND s.source IS NULL)"
)
"""The condition on a lane that a suspension is in force for it; one binding: now."""

_MESSAGE: Final = f"INSERT INTO message (seq, {', '.join(MESSAGE_COLUMNS)}) VALUES (?{', ?' * len(MESSAGE_COLUMNS)})"  # noqa: S608 - constants of ours

IDEMPOTENCY_MILLIS: Final = 24 * 3600 * 1000
KEYS_AHEAD_MILLIS: Final = 7 * IDEMPOTENCY_MILLIS
"""No key counts from later than so long after now, for the longest stands for a week: a clock that was ahead wrote it,
and it would stand for its message until then. It counts from now, once the janitor comes by.
"""


def accept(connection: Connection, message: NewMessage) -> Receipt:
    """Write a message with its deliveries and its `accepted` event. Raises IdempotencyConflictError."""
    at = to_millis(message.accepted_at)
    earlier = _earlier(connection, message, at)
    if earlier is not None:
        return earlier
    owed = sum(1 for n in range(len(message.envelope.recipients)) if not message.initial.get(n, State.WAITING).final)
    connection.execute(_MESSAGE, (message.number, *message_row(message, owed)))
    seq = connection.last_insert_rowid()
    write_content(connection, seq, message.content)
    adopt(connection, message, seq)
    connection.executemany(
        "INSERT INTO message_tag (tenant, tag, message) VALUES (?, ?, ?)",
        [(message.tenant, tag, seq) for tag in dict.fromkeys(message.tags)],
    )
    leased = _write_deliveries(connection, seq, message)
    _write_events(connection, seq, message, at)
    if message.idempotency is not None:
        connection.execute(
            "INSERT INTO idempotency (tenant, key, digest, message, at) VALUES (?, ?, ?, ?, ?)",
            (
                message.tenant,
                message.idempotency.key,
                message.idempotency.digest,
                seq,
                to_millis(message.idempotency.counted_from(message.accepted_at)),
            ),
        )
    return Receipt(message.id, seq, leased)


def _earlier(connection: Connection, message: NewMessage, at: int) -> Receipt | None:
    """The receipt of the message this key already stands for; a key whose day is over is free again."""
    if message.idempotency is None:
        return None
    key = (message.tenant, message.idempotency.key)
    for digest, seq, since, spool_id in connection.execute(
        "SELECT i.digest, i.message, i.at, m.id FROM idempotency i JOIN message m ON m.seq = i.message"
        " WHERE i.tenant = ? AND i.key = ?",
        key,
    ):
        if since + IDEMPOTENCY_MILLIS > at:
            if digest != message.idempotency.digest:
                raise IdempotencyConflictError
            return Receipt(SpoolId(spool_id), seq, frozenset(), duplicate=True)
    connection.execute("DELETE FROM idempotency WHERE tenant = ? AND key = ?", key)
    return None


def _write_deliveries(connection: Connection, seq: int, message: NewMessage) -> frozenset[int]:
    """The delivery and recipient rows; returns the numbers leased to the fast path.

    A lane with older work due keeps its order: its new delivery waits behind the others.
    """
    due = to_millis(message.due)
    accepted = to_millis(message.accepted_at)
    lease_to = message.lease_to if message.lease_to is not None and is_living(connection, message.lease_to) else None
    leased: set[int] = set()
    lanes: dict[str, tuple[int, bool]] = {}
    for n, recipient in enumerate(message.envelope.recipients):
        domain = recipient.address.domain
        if domain not in lanes:
            lanes[domain] = _lane(connection, message.tenant, domain, due)
        lane, clear = lanes[domain]
        initial = state = message.initial.get(n, State.WAITING)
        if state is State.WAITING and lease_to is not None and clear and due <= accepted:
            state = State.LEASED
            leased.add(n)
        connection.execute(
            "INSERT INTO delivery (message, n, lane, state, initial, attempts, due, lease, notify)"
            " VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)",
            (
                seq,
                n,
                lane,
                int(state),
                int(initial),
                due if state in (State.WAITING, State.LEASED) else None,
                lease_to if state is State.LEASED else None,
                None if recipient.notify is None else int(recipient.notify),
            ),
        )
        _write_recipient(connection, seq, n, recipient)
        if state is State.WAITING:
            advance_lane(connection, lane, due)
    return frozenset(leased)


def is_living(connection: Connection, incarnation: int) -> bool:
    """Whether an incarnation may take leases: one that was ended never gives them back, and nobody asks for them."""
    query = "SELECT 1 FROM incarnation WHERE id = ? AND ended IS NULL"
    return next(iter(connection.execute(query, (incarnation,))), None) is not None


def _write_recipient(connection: Connection, seq: int, n: int, recipient: Recipient) -> None:
    connection.execute(
        "INSERT INTO recipient (message, n, address, orcpt) VALUES (?, ?, ?, ?)",
        (seq, n, str(recipient.address), recipient.orcpt),
    )


def _lane(connection: Connection, tenant: int, domain: str, due: int) -> tuple[int, bool]:
    """The lane's id, and whether its mail may go now: no older due delivery waits in it, no suspension holds it."""
    for lane, lane_due, suspended in connection.execute(
        f"SELECT id, due, {SUSPENDED} FROM lane WHERE tenant = ? AND domain = ?",  # noqa: S608 - a constant of ours
        (due, tenant, domain),
    ):
        return lane, not suspended and (lane_due is None or lane_due > due)
    connection.execute("INSERT INTO lane (tenant, domain, due) VALUES (?, ?, NULL)", (tenant, domain))
    return _lane(connection, tenant, domain, due)


def advance_lane(connection: Connection, lane: int, due: int) -> None:
    """Let the lane know of a WAITING delivery due at `due`."""
    connection.execute("UPDATE lane SET due = ? WHERE id = ? AND (due IS NULL OR due > ?)", (due, lane, due))


def _write_events(connection: Connection, seq: int, message: NewMessage, at: int) -> None:
    write_event(connection, at, seq, None, EventKind.ACCEPTED, None)
    for n, state in sorted(message.initial.items()):
        if state is State.SUPPRESSED:
            write_event(connection, at, seq, n, EventKind.SUPPRESSED, suppressed_detail(message, n))
        elif state is State.HELD:
            write_event(connection, at, seq, n, EventKind.HELD, dump({"reason": message.hold_reason}))


def suppressed_detail(message: NewMessage, n: int) -> str | None:
    """What the event of a delivery accepted SUPPRESSED tells."""
    detail = message.details.get(n)
    return dump(dict(detail)) if detail else None


def write_event(connection: Connection, at: int, seq: int, n: int | None, kind: EventKind, detail: str | None) -> None:
    """One event, in the caller's transaction."""
    connection.execute(
        "INSERT INTO event (at, message, n, kind, detail) VALUES (?, ?, ?, ?, ?)", (at, seq, n, int(kind), detail)
    )
