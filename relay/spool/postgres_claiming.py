"""Claim and void on PostgreSQL: leases for many nodes at once.

Tenants, lanes and deliveries are found as on SQLite, by walking indexes, at the same cost however much waits.
Rows that another node is claiming are skipped, not waited for, so claims never block each other nor an accept. On a
busy machine each statement waits for its turn at a processor twice, so a claim is as few of them as it can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from relay.clock import from_millis
from relay.database.postgres import Transaction
from relay.ids import SpoolId
from relay.mail.envelope import Envelope, Notify, Recipient, Return
from relay.spool.claiming import MAX_LANES, UNREADABLE, WHY_UNREADABLE
from relay.spool.life import Wanted
from relay.spool.postgres_accepting import SUSPENDED_UNTIL
from relay.spool.postgres_effects import Effects
from relay.spool.postgres_quarantine import Quarantined, quarantine
from relay.spool.rows import column_address, column_path, column_warmth
from relay.spool.work import Door, Duty, Incarnation, Parcel

_TENANTS: Final = """
RECURSIVE tenants AS (
  (SELECT tenant, due FROM lane WHERE due IS NOT NULL ORDER BY tenant, due LIMIT 1)
  UNION ALL
  SELECT next.tenant, next.due FROM tenants CROSS JOIN LATERAL (
    SELECT tenant, due FROM lane WHERE due IS NOT NULL AND tenant > tenants.tenant ORDER BY tenant, due LIMIT 1
  ) AS next
)
"""

NEXT_DUE: Final = f"WITH {_TENANTS} SELECT min(due) FROM tenants"  # noqa: S608 - a constant of ours
"""The earliest due time of any lane."""

_LANES: Final = f"""
WITH {_TENANTS}, living AS MATERIALIZED (SELECT id FROM incarnation WHERE id = $4 AND ended IS NULL FOR KEY SHARE),
waiting AS MATERIALIZED (SELECT tenant FROM tenants WHERE due <= $1 ORDER BY due LIMIT $2)
SELECT waiting.tenant, lanes.id, lanes.domain FROM living CROSS JOIN waiting CROSS JOIN LATERAL (
  SELECT id, due, domain FROM lane
  WHERE tenant = waiting.tenant AND due <= $1 AND domain <> ALL($3::text[])
    AND coalesce({SUSPENDED_UNTIL}, 0) <= $1
  ORDER BY due LIMIT greatest(1, least({MAX_LANES}, 2 * $2 / (SELECT count(*) FROM waiting)))
) AS lanes
ORDER BY waiting.tenant, lanes.due
"""  # noqa: S608 - constants of ours
"""None for a life that was ended: whoever ends one locks its row first, and so waits for what is leased here."""

_LEASE: Final = """
WITH picked AS MATERIALIZED (
  SELECT d.message, d.n FROM unnest($1::bigint[], $2::bigint[]) AS q(lane, quota) CROSS JOIN LATERAL (
    SELECT message, n FROM delivery WHERE lane = q.lane AND state = 1 AND due <= $3
    ORDER BY due, message, n LIMIT q.quota FOR UPDATE SKIP LOCKED
  ) AS d
), leased AS (
  UPDATE delivery d SET state = 2, lease = $4 FROM picked WHERE d.message = picked.message AND d.n = picked.n
  RETURNING d.message, d.n, d.lane, d.attempts, d.due, d.notify, d.asked, d.broken, d.delay_told,
    d.source, d.warm_up, d.promised
)
SELECT leased.message, leased.n, leased.attempts, leased.due, leased.notify, recipient.address, recipient.orcpt,
  CASE WHEN request.id IS NULL THEN '' WHEN request.reason = '' THEN 'bounced by the operator'
    ELSE request.reason END, leased.lane, leased.broken,
  leased.delay_told, leased.source, leased.warm_up, leased.promised,
  message.id, message.tenant, message.door, message.stream, message.reverse_path, message.smtputf8, message.ret,
  message.envid, message.size, message.accepted_at, message.expires_at, message.received, message.sign_as,
  message.prelude
FROM leased LEFT JOIN message ON message.seq = leased.message
  LEFT JOIN recipient ON recipient.message = leased.message AND recipient.n = leased.n
  LEFT JOIN request ON request.id = leased.asked AND request.verb = 'bounce' AND request.final_at IS NULL
    AND request.undone IS NULL
ORDER BY leased.due, leased.message, leased.n
"""

_OF_DELIVERY: Final = 14
"""So many columns come before those of the message."""

_LOCK_LANES: Final = "SELECT id FROM lane WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"

_REFRESH: Final = """
WITH fresh AS MATERIALIZED (
  SELECT id, (SELECT d.due FROM delivery d WHERE d.lane = l.id AND d.state = 1 ORDER BY d.due LIMIT 1) AS due
  FROM unnest($1::bigint[]) AS l(id)
)
UPDATE lane SET due = fresh.due FROM fresh WHERE lane.id = fresh.id AND lane.due IS DISTINCT FROM fresh.due
"""

_Row = tuple[Any, ...]


async def claim(transaction: Transaction, incarnation: Incarnation, wanted: Wanted, now: int) -> list[Parcel]:
    """Lease due deliveries, as many as are wanted of each lane."""
    found = await transaction.fetch(_LANES, now, wanted.limit, list(wanted.skip), incarnation)
    if not found:
        return []
    quotas = _quotas(found, wanted)
    rows = await transaction.fetch(_LEASE, list(quotas.keys()), list(quotas.values()), now, incarnation)
    parcels = await _parcels(transaction, rows, now)
    await _refresh(transaction, list(quotas))
    return parcels


def _quotas(found: Sequence[_Row], wanted: Wanted) -> dict[int, int]:
    """How many deliveries each lane may give: every tenant its share of the limit, and within it every lane."""
    by_tenant: dict[int, list[tuple[int, str]]] = {}
    for tenant, lane, domain in found:
        by_tenant.setdefault(tenant, []).append((lane, domain))
    quotas: dict[int, int] = {}
    left = wanted.limit
    for position, lanes in enumerate(by_tenant.values()):
        share = min(left, max(1, left // (len(by_tenant) - position)))
        given = wanted.quotas(share, [domain for _, domain in lanes])
        quotas.update({lane: quota for (lane, _), quota in zip(lanes, given, strict=True) if quota})
        left -= sum(given)
    return quotas


async def _parcels(transaction: Transaction, rows: Sequence[_Row], now: int) -> list[Parcel]:
    """One parcel a message and lane; what an operator asked to bounce travels apart from what is to be tried."""
    if not rows:
        return []
    effects = Effects(now)
    by_parcel: dict[tuple[int, str, int], list[_Row]] = {}
    for row in rows:
        if row[5] is None:
            effects.cancel(row[0], row[1], "the recipient's address was erased")
        else:
            by_parcel.setdefault((row[0], row[7], row[8]), []).append(row)
    await effects.write(transaction)
    parcels: list[Parcel] = []
    unreadable: list[Quarantined] = []
    for (seq, bounce, _), duties in by_parcel.items():
        try:
            parcels.append(_parcel(duties, bounce))
        except UNREADABLE:
            unreadable += [(seq, row[1], WHY_UNREADABLE) for row in duties]
    await quarantine(transaction, unreadable, now)
    return parcels


def _parcel(rows: Sequence[_Row], bounce: str) -> Parcel:
    seq, message = rows[0][0], rows[0][_OF_DELIVERY:]
    spool_id, tenant, door, stream, path, smtputf8, ret, envid, size, accepted, expires, *rest = message
    duties = tuple(
        Duty(
            seq,
            n,
            SpoolId(spool_id),
            tenant,
            Recipient(column_address(address), None if notify is None else Notify(notify), orcpt),
            attempts,
            from_millis(due),
            bounce,
            broken,
            bool(told),
            source or "",
            column_warmth(warm_up, promised),
        )
        for _, n, attempts, due, notify, address, orcpt, _, _, broken, told, source, warm_up, promised in (
            row[:_OF_DELIVERY] for row in rows
        )
    )
    envelope = Envelope(
        column_path(path),
        tuple(duty.recipient for duty in duties),
        smtputf8=bool(smtputf8),
        ret=Return(ret) if ret else None,
        envid=envid,
    )
    received, sign_as, prelude = rest
    return Parcel(
        seq=seq,
        id=SpoolId(spool_id),
        tenant=tenant,
        door=Door(door),
        reverse_path=envelope.reverse_path,
        envelope=envelope,
        duties=duties,
        size=size,
        prelude=prelude,
        received=received,
        sign_as=sign_as,
        accepted_at=from_millis(accepted),
        expires_at=from_millis(expires),
        stream=stream,
    )


async def _refresh(transaction: Transaction, lanes: list[int]) -> None:
    """Let the lanes say when their next delivery is due; those somebody is adding to say it at the next claim.

    Read in a statement of its own, after the lock: only then is what others have committed seen.
    """
    locked = [row[0] for row in await transaction.fetch(_LOCK_LANES, lanes)]
    if locked:
        await transaction.execute(_REFRESH, locked)
