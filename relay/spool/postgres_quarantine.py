"""Leases that end without a settlement, and the quarantine of what breaks us, on PostgreSQL.

The meaning is that of `relay.spool.quarantine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay.database.postgres import Transaction
from relay.event import EventKind
from relay.policy.quarantine import Death, is_held
from relay.policy.state import State
from relay.spool.postgres_effects import Effects, columns
from relay.spool.quarantine import ALARM, MESSAGE_ALARMS, after_rest, died_of
from relay.spool.rows import dump

# The condition is `relay.policy.quarantine.counts`.
_VOID: Final = """
WITH had AS (
  SELECT message, n, $2 AND (begun = 1 OR broken = 0) AS counts FROM delivery WHERE state = 2 AND lease = $1 FOR UPDATE
)
UPDATE delivery d SET state = 1, lease = NULL, begun = 0, broken = d.broken + had.counts::int
FROM had WHERE d.message = had.message AND d.n = had.n
RETURNING d.message, d.n, d.lane, d.due, d.broken, had.counts
"""

_REST: Final = """
UPDATE delivery d SET due = r.due
FROM unnest($1::bigint[], $2::int[], $3::bigint[]) AS r(message, n, due) WHERE d.message = r.message AND d.n = r.n
"""

_HOLD: Final = f"""
UPDATE delivery d SET state = {int(State.HELD)}, due = NULL, lease = NULL, begun = 0
FROM unnest($1::bigint[], $2::int[]) AS h(message, n) WHERE d.message = h.message AND d.n = h.n
"""  # noqa: S608 - a number of ours

_ALARM: Final = f"""
INSERT INTO alarm (kind, subject, since, detail)
SELECT '{ALARM}', coalesce(m.id, '#' || a.seq), $3, a.detail
FROM unnest($1::bigint[], $2::text[]) AS a(seq, detail) LEFT JOIN message m ON m.seq = a.seq
ON CONFLICT DO NOTHING
"""  # noqa: S608 - a constant of ours

_END_ALARMS: Final = f"""
DELETE FROM alarm USING message m
WHERE alarm.kind IN {MESSAGE_ALARMS} AND alarm.subject = m.id AND m.seq = ANY($1::bigint[])
"""  # noqa: S608 - constants of ours

Quarantined = tuple[int, int, str]
"""A delivery (message, n), and why it is held."""


async def void_leases(transaction: Transaction, incarnation: int, now: int, death: Death | None) -> None:
    """Give every lease of an incarnation back to its lane; `death`: how its holder ended, None if it retired."""
    effects = Effects(now)
    held: list[Quarantined] = []
    resting: list[tuple[int, int, int]] = []
    for seq, n, lane, due, broken, counts in await transaction.fetch(_VOID, incarnation, death is not None):
        later = after_rest(due, broken, now) if counts else due
        effects.advance(lane, later)
        if counts and death is not None and is_held(broken, death):
            held.append((seq, n, died_of(broken)))
        elif later != due:
            resting.append((seq, n, later))
    if resting:
        await transaction.execute(_REST, *columns(resting, 3))
    await effects.write(transaction)
    await quarantine(transaction, held, now)


async def quarantine(transaction: Transaction, held: Sequence[Quarantined], now: int) -> None:
    """Hold deliveries that nobody may settle any more, with their events and their alarms."""
    if not held:
        return
    await transaction.execute(_HOLD, *columns([(seq, n) for seq, n, _ in held], 2))
    effects = Effects(now)
    for seq, n, reason in held:
        effects.tell(seq, n, EventKind.HELD, dump({"reason": reason}))
    await effects.write(transaction)
    await raise_alarms(transaction, {seq: reason for seq, _, reason in held}, now)


async def raise_alarms(transaction: Transaction, reasons: dict[int, str], now: int) -> None:
    """The alarms about messages, where none stands."""
    if reasons:
        await transaction.execute(_ALARM, list(reasons.keys()), list(reasons.values()), now)


async def end_alarms(transaction: Transaction, messages: Sequence[int]) -> None:
    """Somebody has decided what becomes of these messages: their alarms are answered."""
    if messages:
        await transaction.execute(_END_ALARMS, messages)
