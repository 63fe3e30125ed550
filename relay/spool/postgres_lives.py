"""Lives of workers on PostgreSQL: registered, heard of, ended.

An accept or a claim holds a key share of its incarnation's row until it commits, and ending one locks the row
first: so an ended life is never leased anything that nobody would give back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from relay.database.postgres import Transaction
from relay.policy.quarantine import Death
from relay.spool.life import Pulse, Terms
from relay.spool.portable import SUCCESSOR, ended_pulse
from relay.spool.postgres_quarantine import void_leases
from relay.spool.silence import Beat, Silence
from relay.spool.work import Incarnation

CHANNEL: Final = "leak_spool"
"""Where nodes tell each other that there may be due work."""

ENDED: Final = "ended"
"""The word that tells that a life was ended by another."""

# On the database's clock, and never the same twice, however coarse or unsteady that clock is.
_BEAT: Final = """
UPDATE incarnation
SET heartbeat = greatest(heartbeat + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
WHERE id = $1 AND ended IS NULL
"""

_LIVING: Final = """
SELECT id, heartbeat, lease, (extract(epoch FROM clock_timestamp()) * 1000)::bigint
FROM incarnation WHERE ended IS NULL
"""

_BEGIN: Final = """
INSERT INTO incarnation (node, worker, started, heartbeat, lease, place)
VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, $4, $5) RETURNING id
"""


async def register(transaction: Transaction, node: str, worker: int, terms: Terms, now: int) -> Incarnation:
    """Begin a life and end the earlier one of the same node and worker."""
    await transaction.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, $2))", node, worker)
    older = "SELECT id FROM incarnation WHERE node = $1 AND worker = $2 AND ended IS NULL ORDER BY id"
    await _end_others(transaction, [old for (old,) in await transaction.fetch(older, node, worker)], now, terms.fell)
    lease = terms.lease // timedelta(milliseconds=1)
    return Incarnation((await transaction.fetch(_BEGIN, node, worker, now, lease, terms.place))[0][0])


async def say_alive(transaction: Transaction, incarnation: Incarnation, silence: Silence, now: int) -> Pulse:
    """A heartbeat; whoever lives ends those that were silent for too long."""
    if await transaction.execute(_BEAT, incarnation) == 0:
        return ended_pulse(await transaction.fetch(f"{SUCCESSOR}$1", incarnation))
    rows = await transaction.fetch(_LIVING)
    judgement = silence.look([Beat(life, beat, lease) for life, beat, lease, _ in rows], rows[0][3])
    await _end_others(transaction, judgement.vanished, now, Death.KILLED)
    return Pulse(look_in=judgement.look_in)


async def end(transaction: Transaction, incarnation: int, now: int, death: Death | None) -> None:
    """End a life, if nobody did, and give back what it holds; `death`: how it ended, None if it retired."""
    await transaction.execute("SELECT FROM incarnation WHERE id = $1 FOR UPDATE", incarnation)
    if await transaction.execute("UPDATE incarnation SET ended = $2 WHERE id = $1 AND ended IS NULL", incarnation, now):
        await void_leases(transaction, incarnation, now, death)


async def _end_others(transaction: Transaction, lives: Sequence[int], now: int, death: Death) -> None:
    """End lives that did not end themselves, and tell them, in case they live after all."""
    for life in lives:
        await end(transaction, life, now, death)
    if lives:
        # The lock that a notice takes at the commit is no matter here: this is rare.
        await transaction.execute("SELECT pg_notify($1, $2)", CHANNEL, ENDED)
