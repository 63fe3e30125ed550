"""Settle on PostgreSQL: what becomes of leased deliveries, many at a time.

The meaning is that of `relay.spool.settling`: a settlement applies only while the lease is the caller's; what
comes later is told as an `attempted` event and changes nothing. The lease is compared by the statement that
changes the row, so neither a paused node nor a second settlement can pass (R16, R18).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.clock import to_millis
from relay.database.postgres import Transaction
from relay.event import EventKind
from relay.policy.outcome import Result
from relay.policy.state import State
from relay.spool.orders import Verb
from relay.spool.postgres_effects import Attempt, Effects, columns
from relay.spool.postgres_quarantine import raise_alarms
from relay.spool.rows import attempt_detail, dump, transcript_column
from relay.spool.settling import late_detail, settlement_detail, warm_columns
from relay.spool.work import AttemptRecord, Incarnation, NewMessage, Settlement

# "state + 0" keeps the planner off the index of leased deliveries: its statistics are mostly from a moment when hardly
# any was, and it would compare every settlement with every lease of the cluster instead of asking for each by its key.
_CHANGE: Final = """
UPDATE delivery d SET state = s.state, due = s.due, lease = NULL, begun = 0, attempts = d.attempts + s.tried,
  broken = CASE WHEN s.broken THEN d.broken + 1 WHEN s.tried > 0 THEN 0 ELSE d.broken END,
  delay_told = CASE WHEN s.told THEN 1 ELSE d.delay_told END, source = coalesce(s.source, d.source),
  warm_up = coalesce(s.warm_up, d.warm_up), promised = CASE WHEN s.promises THEN s.promised ELSE d.promised END
FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::bigint[], $5::int[], $6::bigint[], $7::int[], $8::boolean[],
  $9::boolean[], $10::text[], $11::bigint[], $12::boolean[], $13::bigint[])
  AS s(message, n, state, due, tried, lease, earlier, broken, told, source, warm_up, promises, promised)
WHERE d.message = s.message AND d.n = s.n AND d.state + 0 = 2 AND d.lease = s.lease
  AND d.attempts = coalesce(s.earlier, d.attempts)
RETURNING d.message, d.n, d.lane, d.asked
"""

_TOLD: Final = """
SELECT t.position, e.kind
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::int[]) AS t(message, n, applied, late, position)
  JOIN event e ON e.message = t.message AND e.n = t.n AND e.detail IN (t.applied, t.late)
"""

# Locked, for `finish` changes it: either it sees what we hold, or we see that its time is over.
_REQUESTS: Final = """
SELECT id, verb, reason, final_at FROM request WHERE id = ANY($1::bigint[]) AND undone IS NULL
ORDER BY id FOR SHARE
"""

_HOLD: Final = f"""
UPDATE delivery d SET state = {int(State.HELD)}, due = NULL, asked = h.asked
FROM unnest($1::bigint[], $2::int[], $3::bigint[]) AS h(message, n, asked) WHERE d.message = h.message AND d.n = h.n
"""  # noqa: S608 - a number of ours


@dataclass(frozen=True, slots=True)
class SettleRequest:
    """Settlements of one caller."""

    incarnation: Incarnation
    settlements: tuple[Settlement, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """Which settlements of each request applied, and the notices to accept with them."""

    applied: list[list[bool]]
    notices: list[NewMessage]


async def settle_all(transaction: Transaction, requests: Sequence[SettleRequest], effects: Effects) -> Settled:
    """Apply settlements whose lease is still their caller's."""
    settled = Settled([], [])
    first: dict[tuple[int, int], tuple[Settlement, Incarnation]] = {}
    for request in requests:
        for settlement in request.settlements:
            first.setdefault((settlement.seq, settlement.n), (settlement, request.incarnation))
    if not first:
        return Settled([[] for _ in requests], [])
    rows = [_change_row(settlement, incarnation) for settlement, incarnation in first.values()]
    changed = {(seq, n): (lane, asked) for seq, n, lane, asked in await transaction.fetch(_CHANGE, *columns(rows, 13))}
    obeying: list[tuple[int, int, int]] = []
    alarms: dict[int, str] = {}
    belated: list[_Belated] = []
    for number, request in enumerate(requests):
        applied: list[bool] = []
        for settlement in request.settlements:
            key = (settlement.seq, settlement.n)
            # The second settlement of a delivery in one batch finds the lease gone, as it would a moment later.
            in_time = key in changed and first[key][0] is settlement
            applied.append(in_time)
            if not in_time:
                belated.append(_Belated(number, len(applied) - 1, settlement, request.incarnation))
                continue
            lane, asked = changed[key]
            _tell(settlement, request.incarnation, lane, effects)
            if settlement.broken and settlement.state is State.HELD:
                alarms[settlement.seq] = str(settlement.detail.get("reason", ""))
            if settlement.notice is not None:
                settled.notices.append(settlement.notice)
            if asked is not None and settlement.state is State.WAITING:
                obeying.append((*key, asked))
        settled.applied.append(applied)
    for one in await _told_before(transaction, belated, effects):
        settled.applied[one.request][one.place] = True
    await _obey(transaction, obeying, effects)
    await raise_alarms(transaction, alarms, effects.now)
    return settled


@dataclass(frozen=True, slots=True)
class _Belated:
    """A settlement that found no lease, and where its answer stands."""

    request: int
    place: int
    settlement: Settlement
    incarnation: Incarnation


async def _told_before(transaction: Transaction, belated: Sequence[_Belated], effects: Effects) -> list[_Belated]:
    """Those that an earlier call had applied; of the others, an attempt is told as late, once."""
    rows = [
        (
            one.settlement.seq,
            one.settlement.n,
            settlement_detail(one.settlement, one.incarnation),
            late_detail(one.settlement.attempt, one.incarnation),
            position,
        )
        for position, one in enumerate(belated)
        if one.settlement.attempt is not None
    ]
    if not rows:
        return []
    told: dict[int, set[int]] = {position: set() for *_, position in rows}
    for position, kind in await transaction.fetch(_TOLD, *columns(rows, 5)):
        told[position].add(kind)
    for seq, n, _, late, position in rows:
        if not told[position]:
            effects.tell(seq, n, EventKind.ATTEMPTED, late)
    return [belated[position] for position, kinds in told.items() if kinds - {int(EventKind.ATTEMPTED)}]


def _change_row(settlement: Settlement, incarnation: Incarnation) -> tuple[Any, ...]:
    due = to_millis(settlement.due) if settlement.due is not None else None
    tried, earlier = (0, None) if settlement.attempt is None else (1, settlement.attempt.number - 1)
    return (
        settlement.seq,
        settlement.n,
        int(settlement.state),
        due,
        tried,
        incarnation,
        earlier,
        settlement.broken,
        settlement.delay_told,
        *warm_columns(settlement),
    )


def _tell(settlement: Settlement, incarnation: Incarnation, lane: int, effects: Effects) -> None:
    """The traces of a settlement that applied."""
    seq, n = settlement.seq, settlement.n
    if settlement.state is State.WAITING and settlement.due is not None:
        effects.advance(lane, to_millis(settlement.due))
    if settlement.state.final:
        effects.close(seq)
    if settlement.attempt is not None and settlement.attempt.outcome.result is not Result.DELIVERED:
        effects.attempts.append(_attempt_row(seq, n, settlement.attempt))
    if settlement.event is not None:
        effects.tell(seq, n, settlement.event, settlement_detail(settlement, incarnation))


def _attempt_row(seq: int, n: int, attempt: AttemptRecord) -> Attempt:
    detail, transcript = dump(attempt_detail(attempt)), transcript_column(attempt.transcript)
    return (seq, n, attempt.number, to_millis(attempt.at), detail, transcript)


async def _obey(transaction: Transaction, asked: Sequence[tuple[int, int, int]], effects: Effects) -> None:
    """Deliveries that were asked while a worker held them wait again: now the requests decide."""
    if not asked:
        return
    requests = {
        number: (Verb(verb), reason, final_at)
        for number, verb, reason, final_at in await transaction.fetch(
            _REQUESTS, list({request for _, _, request in asked})
        )
    }
    held: list[tuple[int, int, int | None]] = []
    for seq, n, request in asked:
        if request not in requests:
            continue
        verb, reason, final_at = requests[request]
        if verb is Verb.CANCEL and final_at is None:
            effects.cancel(seq, n, reason)
        elif verb is not Verb.BOUNCE or final_at is not None:
            held.append((seq, n, request if verb.ends else None))
            effects.tell(seq, n, EventKind.HELD, dump({"reason": reason, "asked": verb.value}))
    if held:
        await transaction.execute(_HOLD, *columns(held, 3))
