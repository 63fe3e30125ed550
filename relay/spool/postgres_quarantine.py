"""Leases that end without a settlement, and the quarantine of what breaks us, on PostgreSQL.

The meaning is that of `relay.spool.quarantine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from relay.database.postgres import Transaction
from relay.event import EventKind
from relay.policy.quarantine import TRIES, why_held
from relay.policy.state import State
from relay.spool.postgres_effects import Effects, columns
from relay.spool.quarantine import ALARM, MESSAGE_ALARMS
from relay.spool.rows import dump

# The condition is `relay.policy.quarantine.counts`.
_VOID: Final = """
UPDATE delivery SET state = 1, lease = NULL, begun = 0,
  broken = CASE WHEN $2 AND (begun = 1 OR broken = 0) THEN broken + 1 ELSE broken END
WHERE state = 2 AND lease = $1 RETURNING message, n, lane, due, broken
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


async def void_leases(transaction: Transaction, incarnation: int, now: int, *, died: bool) -> None:
    """Give every lease of an incarnation back to its lane; `died`: its holder is gone without a word."""
    effects = Effects(now)
    held: list[Quarantined] = []
    for seq, n, lane, due, broken in await transaction.fetch(_VOID, incarnation, died):
        effects.advance(lane, due)
        if broken >= TRIES:
            held.append((seq, n, why_held(broken) + "; each time its worker died"))
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
