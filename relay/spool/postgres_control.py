"""Queue control on PostgreSQL: requests for many deliveries at once, their undo and their end.

The meaning is that of `relay.spool.control`. The deliveries are locked first, by the statement that writes down
what they were; a worker that settles one of them waits, and then finds the request (R17).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from relay.clock import from_millis
from relay.database.postgres import Transaction
from relay.database.postgres_bridge import numbered
from relay.event import EventKind
from relay.policy.state import State
from relay.spool.control import concerned
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Order, RequestReceipt, Verb
from relay.spool.postgres_effects import Effects, columns
from relay.spool.postgres_quarantine import end_alarms
from relay.spool.rows import dump
from relay.spool.views import condition

_NOTE: Final = """
WITH picked AS MATERIALIZED (
  SELECT d.message, d.n, d.lane, d.state, d.due
  FROM delivery d JOIN message m ON m.seq = d.message JOIN lane l ON l.id = d.lane
    LEFT JOIN recipient r ON r.message = d.message AND r.n = d.n
  WHERE {condition} ORDER BY d.message, d.n FOR UPDATE OF d
), noted AS (
  INSERT INTO request_delivery (request, message, n, state, due)
  SELECT CAST(? AS BIGINT), message, n, state, due FROM picked
)
SELECT message, n, lane, state FROM picked
"""

_ASK: Final = "UPDATE delivery d SET asked = $3 FROM unnest($1::bigint[], $2::int[]) AS a(message, n)\
 WHERE d.message = a.message AND d.n = a.n"

_TAKE_BACK: Final = "UPDATE delivery d SET asked = NULL FROM unnest($1::bigint[], $2::int[]) AS a(message, n)\
 WHERE d.message = a.message AND d.n = a.n AND d.asked = $3"

_PLACE: Final = """
UPDATE delivery d SET state = p.state, due = p.due, asked = p.asked, broken = 0
FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::bigint[], $5::bigint[]) AS p(message, n, state, due, asked)
WHERE d.message = p.message AND d.n = p.n
"""

_TOUCHED: Final = """
SELECT d.message, d.n, d.lane, d.state, d.asked, r.state, r.due
FROM delivery d JOIN request_delivery r ON r.message = d.message AND r.n = d.n
WHERE r.request = $1 ORDER BY d.message, d.n FOR UPDATE OF d
"""

_Placed = tuple[int, int, int, int | None, int | None]


async def ask(transaction: Transaction, order: Order, where: QueueFilter) -> RequestReceipt:
    """Apply an order to the deliveries that `where` finds."""
    verb, now, final_at = order.verb, order.at, order.final_at
    ((request,),) = await transaction.fetch(
        "INSERT INTO request (at, verb, reason, final_at) VALUES ($1, $2, $3, $4) RETURNING id",
        now, verb.value, order.reason, final_at,
    )  # fmt: skip
    terms, values = condition(replace(where, states=concerned(verb, where)))
    rows = await transaction.fetch(numbered(_NOTE.format(condition=terms)), *values, request)
    if not rows:
        await transaction.execute("DELETE FROM request WHERE id = $1", request)
        return RequestReceipt(None, 0, 0)
    under_way = [(seq, n) for seq, n, _, state in rows if state == State.LEASED]
    if under_way:
        await transaction.execute(_ASK, *columns(under_way, 2), request)
    if verb is not Verb.HOLD:
        await end_alarms(transaction, list({seq for seq, _, _, state in rows if state == State.HELD}))
    effects = Effects(now)
    placed: list[_Placed] = []
    for seq, n, lane, state in rows:
        if state == State.LEASED:
            continue
        if verb in (Verb.RELEASE, Verb.RETRY):
            placed.append((seq, n, int(State.WAITING), now, None))
            effects.advance(lane, now)
            if state == State.HELD:
                effects.tell(seq, n, EventKind.RELEASED, dump({"reason": order.reason}))
        else:
            placed.append((seq, n, int(State.HELD), None, request if verb.ends else None))
            effects.tell(seq, n, EventKind.HELD, dump(order.told))
    await _write(transaction, placed, effects)
    return RequestReceipt(request, len(placed), len(under_way), from_millis(final_at) if final_at is not None else None)


async def undo(transaction: Transaction, request: int, now: int) -> int:
    """Put back what a request changed, where the delivery is still as the request left it; the number put back."""
    found = await transaction.fetch("SELECT verb, undone FROM request WHERE id = $1 FOR UPDATE", request)
    if not found or found[0][1] is not None:
        return 0
    verb = Verb(found[0][0])
    left_in = State.WAITING if verb in (Verb.RELEASE, Verb.RETRY) else State.HELD
    # A delivery that a later request concerns by now is that one's.
    mine = request if verb.ends else None
    effects = Effects(now)
    placed: list[_Placed] = []
    under_way: list[tuple[int, int]] = []
    reason = dump({"reason": "the request was undone"})
    for seq, n, lane, state, asked, old, due in await transaction.fetch(_TOUCHED, request):
        if state == State.LEASED and asked == request:
            under_way.append((seq, n))
        elif state != left_in or asked != mine:
            continue
        elif old == State.HELD:
            placed.append((seq, n, int(State.HELD), None, None))
            effects.tell(seq, n, EventKind.HELD, reason)
        else:
            again = due if due is not None else now
            placed.append((seq, n, int(State.WAITING), again, None))
            effects.advance(lane, again)
            effects.tell(seq, n, EventKind.RELEASED, reason)
    if under_way:
        await transaction.execute(_TAKE_BACK, *columns(under_way, 2), request)
    await _write(transaction, placed, effects)
    await transaction.execute("UPDATE request SET undone = $2, final_at = NULL WHERE id = $1", request, now)
    return len(placed) + len(under_way)


async def finish(transaction: Transaction, now: int) -> int:
    """End the windows that are over; the number of requests finished.

    The requests are changed before their deliveries are read: a settle that was reading one has committed by then,
    and one that comes later finds that the window is over.
    """
    due = await transaction.fetch(
        "UPDATE request SET final_at = NULL WHERE id IN"
        " (SELECT id FROM request WHERE final_at <= $1 ORDER BY id FOR UPDATE SKIP LOCKED) RETURNING id, verb, reason",
        now,
    )
    effects = Effects(now)
    placed: list[_Placed] = []
    for request, verb, reason in due:
        for seq, n, lane, state, asked, _, _ in await transaction.fetch(_TOUCHED, request):
            if state != State.HELD or asked != request:
                continue
            if Verb(verb) is Verb.CANCEL:
                effects.cancel(seq, n, reason)
            else:
                # A worker takes it up and finds the request: the DSN must be written and signed there.
                placed.append((seq, n, int(State.WAITING), now, request))
                effects.advance(lane, now)
    await _write(transaction, placed, effects)
    return len(due)


async def _write(transaction: Transaction, placed: list[_Placed], effects: Effects) -> None:
    if placed:
        await transaction.execute(_PLACE, *columns(placed, 5))
    await effects.write(transaction)
