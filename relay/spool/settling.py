"""Settle: what becomes of leased deliveries, in one transaction of SQLite.

A settlement applies only while the lease is the caller's, and an attempt only if it is the delivery's next one: a
settlement repeated after its COMMIT was kept and reported failed must not end the lease of a later claim. Such a
repetition is known by the event it left, and is told no second time. What comes too late is written down as an
`attempted` event and changes nothing, so a delivery never gets a second final state.
"""

from __future__ import annotations

from relay.clock import to_millis
from relay.database.contract import Connection
from relay.event import EventKind
from relay.policy.outcome import Result
from relay.policy.state import State
from relay.spool.accepting import accept, advance_lane, write_event
from relay.spool.control import close_delivery, obey
from relay.spool.quarantine import raise_alarm
from relay.spool.rows import attempt_detail, dump, transcript_column
from relay.spool.work import AttemptRecord, Incarnation, Settlement


def settle(connection: Connection, incarnation: Incarnation, settlement: Settlement, now: int) -> bool:
    """Apply one settlement; False when the lease was lost, True also when an earlier call had applied it."""
    found = _change_state(connection, incarnation, settlement)
    if found is None:
        return _told_before(connection, incarnation, settlement, now)
    lane, asked = found
    if settlement.state is State.WAITING and settlement.due is not None:
        advance_lane(connection, lane, to_millis(settlement.due))
    if settlement.state.final:
        close_delivery(connection, settlement.seq, now)
    if settlement.attempt is not None:
        _write_attempt(connection, settlement.seq, settlement.n, settlement.attempt)
    if settlement.event is not None:
        detail = settlement_detail(settlement, incarnation)
        write_event(connection, now, settlement.seq, settlement.n, settlement.event, detail)
    if settlement.broken and settlement.state is State.HELD:
        raise_alarm(connection, settlement.seq, str(settlement.detail.get("reason", "")), now)
    if settlement.notice is not None:
        accept(connection, settlement.notice)
    if asked is not None and settlement.state is State.WAITING:
        obey(connection, settlement.seq, settlement.n, asked, now)
    return True


def _change_state(
    connection: Connection, incarnation: Incarnation, settlement: Settlement
) -> tuple[int, int | None] | None:
    """Move the delivery if its lease is still ours; its lane and the request that concerns it, or None."""
    due = to_millis(settlement.due) if settlement.due is not None else None
    earlier = None if settlement.attempt is None else settlement.attempt.number - 1
    rows = connection.execute(
        "UPDATE delivery SET state = ?, due = ?, lease = NULL, begun = 0, attempts = attempts + ?,"
        " delay_told = CASE WHEN ? THEN 1 ELSE delay_told END,"
        " broken = CASE WHEN ? THEN broken + 1 WHEN ? THEN 0 ELSE broken END, source = coalesce(?, source),"
        " warm_up = coalesce(?, warm_up), promised = CASE WHEN ? THEN ? ELSE promised END"
        " WHERE message = ? AND n = ? AND state = 2 AND lease = ? AND attempts = coalesce(?, attempts)"
        " RETURNING lane, asked",
        (
            int(settlement.state),
            due,
            0 if settlement.attempt is None else 1,
            int(settlement.delay_told),
            int(settlement.broken),
            int(settlement.attempt is not None),
            *warm_columns(settlement),
            settlement.seq,
            settlement.n,
            incarnation,
            earlier,
        ),
    )
    # The statement must run to its end, or SQLite keeps it open across the commit.
    found = list(rows)
    return (found[0][0], found[0][1]) if found else None


def warm_columns(settlement: Settlement) -> tuple[str | None, int | None, bool, int | None]:
    """Source, warm-up, whether the promise changes, and the promise."""
    warmth = settlement.warmth
    if warmth is None:
        return settlement.source or None, None, False, None
    promised = None if warmth.promised is None else to_millis(warmth.promised)
    return settlement.source or None, warmth.row, True, promised


def _write_attempt(connection: Connection, seq: int, n: int, attempt: AttemptRecord) -> None:
    """Failures keep their attempt with its transcript; a delivery's stands in its final event."""
    if attempt.outcome.result is Result.DELIVERED:
        return
    connection.execute(
        "INSERT INTO attempt (message, n, number, at, detail, transcript) VALUES (?, ?, ?, ?, ?, ?)",
        (
            seq,
            n,
            attempt.number,
            to_millis(attempt.at),
            dump(attempt_detail(attempt)),
            transcript_column(attempt.transcript),
        ),
    )


def settlement_detail(settlement: Settlement, incarnation: Incarnation) -> str | None:
    """What the event of a settlement tells, as JSON; None when there is nothing to add."""
    detail = dict(settlement.detail)
    if settlement.attempt is not None:
        # Whose attempt it was makes the event one of its kind: see `_told_before`.
        detail.update({**attempt_detail(settlement.attempt), "incarnation": incarnation})
    if settlement.state is State.WAITING and settlement.due is not None:
        detail["next_due"] = settlement.due.isoformat(timespec="seconds")
    return dump(detail) if detail else None


def late_detail(attempt: AttemptRecord, incarnation: Incarnation) -> str:
    """What the event of a result that came too late tells, as JSON."""
    return dump({**attempt_detail(attempt), "incarnation": incarnation, "late": True})


def _told_before(connection: Connection, incarnation: Incarnation, settlement: Settlement, now: int) -> bool:
    """A settlement found no lease: whether an earlier call had applied it. If not, its attempt is told as late."""
    if settlement.attempt is None:
        return False
    seq, n = settlement.seq, settlement.n
    late = late_detail(settlement.attempt, incarnation)
    rows = connection.execute(
        "SELECT kind FROM event WHERE message = ? AND n = ? AND detail IN (?, ?)",
        (seq, n, settlement_detail(settlement, incarnation), late),
    )
    told = {EventKind(kind) for (kind,) in list(rows)}
    if not told:
        write_event(connection, now, seq, n, EventKind.ATTEMPTED, late)
    return bool(told - {EventKind.ATTEMPTED})
