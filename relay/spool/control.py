"""Queue control: requests for many deliveries at once, their undo, and suspensions, in transactions of SQLite.

A cancel or a bounce is a hold until its window is over, so that it can be taken back; then `finish` makes it
final. What a worker holds is only asked: settle reads the request and decides, so a delivery is either
delivered or cancelled, never both and never neither (R17).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from relay.clock import from_millis
from relay.database.contract import Connection
from relay.event import EventKind
from relay.policy.state import State
from relay.spool.accepting import advance_lane, write_event
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Order, RequestReceipt, Suspension, Verb
from relay.spool.quarantine import end_alarms
from relay.spool.rows import dump
from relay.spool.views import matching

_CONCERNS: Final[dict[Verb, frozenset[State]]] = {
    Verb.HOLD: frozenset({State.WAITING, State.LEASED}),
    Verb.RELEASE: frozenset({State.HELD}),
    Verb.RETRY: frozenset({State.WAITING, State.HELD}),
    Verb.CANCEL: frozenset({State.WAITING, State.LEASED, State.HELD}),
    Verb.BOUNCE: frozenset({State.WAITING, State.LEASED, State.HELD}),
}
"""The states in which a delivery is concerned by a verb."""

EVERYTHING: Final = 1_000_000_000
"""A limit that is none."""


def concerned(verb: Verb, where: QueueFilter) -> tuple[State, ...]:
    """The states a request looks at: those of the filter that the verb concerns."""
    return tuple(state for state in where.states if state in _CONCERNS[verb])


def ask(connection: Connection, order: Order, where: QueueFilter) -> RequestReceipt:
    """Apply an order to the deliveries that `where` finds."""
    rows = matching(connection, replace(where, states=concerned(order.verb, where), limit=EVERYTHING))
    if not rows:
        return RequestReceipt(None, 0, 0)
    final_at = order.final_at
    connection.execute(
        "INSERT INTO request (at, verb, reason, final_at) VALUES (?, ?, ?, ?)",
        (order.at, order.verb.value, order.reason, final_at),
    )
    request = connection.last_insert_rowid()
    under_way = 0
    for seq, n, lane, state in rows:
        connection.execute(
            "INSERT INTO request_delivery (request, message, n, state, due)"
            " SELECT ?, message, n, state, due FROM delivery WHERE message = ? AND n = ?",
            (request, seq, n),
        )
        if state is State.LEASED:
            connection.execute("UPDATE delivery SET asked = ? WHERE message = ? AND n = ?", (request, seq, n))
            under_way += 1
        else:
            _apply(connection, (seq, n, lane, state), request, order)
    return RequestReceipt(
        request, len(rows) - under_way, under_way, from_millis(final_at) if final_at is not None else None
    )


def _apply(connection: Connection, row: tuple[int, int, int, State], request: int, order: Order) -> None:
    """A request to a delivery that nobody holds."""
    seq, n, lane, state = row
    if state is State.HELD and order.verb is not Verb.HOLD:
        end_alarms(connection, seq)
    if order.verb in (Verb.RELEASE, Verb.RETRY):
        _wait(connection, seq, n, lane, order.at)
        if state is State.HELD:
            write_event(connection, order.at, seq, n, EventKind.RELEASED, dump({"reason": order.reason}))
        return
    _hold(connection, (seq, n), request, order)


def _hold(connection: Connection, delivery: tuple[int, int], request: int, order: Order) -> None:
    """Hold a delivery (message, n): for good, or until what ends it is final."""
    connection.execute(
        "UPDATE delivery SET state = ?, due = NULL, asked = ? WHERE message = ? AND n = ?",
        (int(State.HELD), request if order.verb.ends else None, *delivery),
    )
    write_event(connection, order.at, *delivery, EventKind.HELD, dump(order.told))


def _wait(connection: Connection, seq: int, n: int, lane: int, due: int) -> None:
    connection.execute(
        "UPDATE delivery SET state = ?, due = ?, asked = NULL, broken = 0 WHERE message = ? AND n = ?",
        (int(State.WAITING), due, seq, n),
    )
    advance_lane(connection, lane, due)


def undo(connection: Connection, request: int, now: int) -> int:
    """Put back what a request changed, where the delivery is still as the request left it; the number put back."""
    found = list(connection.execute("SELECT verb, undone FROM request WHERE id = ?", (request,)))
    if not found or found[0][1] is not None:
        return 0
    verb = Verb(found[0][0])
    left_in = State.WAITING if verb in (Verb.RELEASE, Verb.RETRY) else State.HELD
    restored = 0
    for (seq, n, lane, state, asked), (old, due) in list(_touched(connection, request)):
        if state is State.LEASED and asked == request:
            connection.execute("UPDATE delivery SET asked = NULL WHERE message = ? AND n = ?", (seq, n))
            restored += 1
        elif state is left_in and asked == (request if verb.ends else None):
            _restore(connection, (seq, n, lane), old, due if due is not None else now, now)
            restored += 1
    connection.execute("UPDATE request SET undone = ?, final_at = NULL WHERE id = ?", (now, request))
    return restored


def _restore(connection: Connection, row: tuple[int, int, int], old: State, due: int, now: int) -> None:
    seq, n, lane = row
    if old is State.HELD:
        connection.execute(
            "UPDATE delivery SET state = ?, due = NULL, asked = NULL WHERE message = ? AND n = ?",
            (int(State.HELD), seq, n),
        )
        write_event(connection, now, seq, n, EventKind.HELD, dump({"reason": "the request was undone"}))
        return
    _wait(connection, seq, n, lane, due)
    write_event(connection, now, seq, n, EventKind.RELEASED, dump({"reason": "the request was undone"}))


_Now = tuple[int, int, int, State, int | None]
"""(message, n, lane, state, asked) of a delivery as it is; `asked` is the request that concerns it, if one does."""

_Before = tuple[State, int | None]
"""(state, due) of a delivery as a request found it."""


def _touched(connection: Connection, request: int) -> Iterator[tuple[_Now, _Before]]:
    """A request's deliveries: as they are, and as it found them. A later request may concern them by now."""
    for seq, n, lane, state, asked, old, due in connection.execute(
        "SELECT d.message, d.n, d.lane, d.state, d.asked, r.state, r.due FROM request_delivery r"
        " JOIN delivery d ON d.message = r.message AND d.n = r.n WHERE r.request = ?",
        (request,),
    ):
        yield (seq, n, lane, State(state), asked), (State(old), due)


def finish(connection: Connection, now: int) -> int:
    """End the windows that are over; the number of requests finished."""
    due = list(connection.execute("SELECT id, verb, reason FROM request WHERE final_at <= ?", (now,)))
    for request, verb, reason in due:
        for (seq, n, lane, state, asked), _ in list(_touched(connection, request)):
            if state is not State.HELD or asked != request:
                continue
            if Verb(verb) is Verb.CANCEL:
                cancel(connection, seq, n, reason, now)
            else:
                # A worker takes it up and finds the request: the DSN must be written and signed there.
                connection.execute(
                    "UPDATE delivery SET state = ?, due = ? WHERE message = ? AND n = ?",
                    (int(State.WAITING), now, seq, n),
                )
                advance_lane(connection, lane, now)
        connection.execute("UPDATE request SET final_at = NULL WHERE id = ?", (request,))
    return len(due)


def cancel(connection: Connection, seq: int, n: int, reason: str, now: int) -> None:
    """A delivery becomes CANCELLED, with its event."""
    connection.execute(
        "UPDATE delivery SET state = ?, due = NULL, lease = NULL, asked = NULL WHERE message = ? AND n = ?",
        (int(State.CANCELLED), seq, n),
    )
    close_delivery(connection, seq, now)
    write_event(connection, now, seq, n, EventKind.CANCELLED, dump({"reason": reason}))


def close_delivery(connection: Connection, seq: int, now: int) -> None:
    """One delivery of the message became final; the last one starts the clock of forgetting."""
    connection.execute(
        "UPDATE message SET open = open - 1, final_at = CASE WHEN open = 1 THEN ? END WHERE seq = ?", (now, seq)
    )


def obey(connection: Connection, seq: int, n: int, request: int, now: int) -> None:
    """A delivery that was asked while a worker held it waits again: now the request decides."""
    rows = list(connection.execute("SELECT verb, reason, final_at, undone FROM request WHERE id = ?", (request,)))
    if not rows or rows[0][3] is not None:
        return
    verb, reason, final_at = Verb(rows[0][0]), rows[0][1], rows[0][2]
    if verb is Verb.CANCEL and final_at is None:
        cancel(connection, seq, n, reason, now)
    elif verb is not Verb.BOUNCE or final_at is not None:
        _hold(connection, (seq, n), request, Order(verb, reason, now))


def bounce_reason(connection: Connection, request: int) -> str:
    """Why a claimed delivery is to be bounced; "" when it is not, or not yet, or was undone."""
    for verb, reason, final_at, undone in connection.execute(
        "SELECT verb, reason, final_at, undone FROM request WHERE id = ?", (request,)
    ):
        if Verb(verb) is Verb.BOUNCE and final_at is None and undone is None:
            return str(reason) or "bounced by the operator"
    return ""


def suspend(connection: Connection, suspension: Suspension, until: int, now: int) -> int:
    """Write a suspension; an unknown tenant's name suspends nobody and gives 0."""
    tenant = None
    if suspension.tenant:
        found = list(connection.execute("SELECT id FROM tenant WHERE name = ?", (suspension.tenant,)))
        if not found:
            return 0
        tenant = found[0][0]
    connection.execute(
        "INSERT INTO suspension (tenant, domain, site, source, until, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            tenant,
            suspension.domain or None,
            suspension.site or None,
            suspension.source or None,
            until,
            suspension.reason,
            now,
        ),
    )
    return connection.last_insert_rowid()


def suspensions(connection: Connection, now: int) -> list[Suspension]:
    """The suspensions in force."""
    return [
        Suspension(number, tenant or "", domain or "", site or "", from_millis(until), reason, source or "")
        for number, tenant, domain, site, until, reason, source in connection.execute(
            "SELECT s.id, t.name, s.domain, s.site, s.until, s.reason, s.source FROM suspension s"
            " LEFT JOIN tenant t ON t.id = s.tenant WHERE s.until > ? ORDER BY s.id",
            (now,),
        )
    ]
