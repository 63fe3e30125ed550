"""Claim and void: how leases are taken and taken away, in one transaction of SQLite.

Claims cost the same with ten deliveries waiting and with a million: tenants are found by skipping through an
index, each tenant's lanes by their due times, each lane's deliveries by theirs. Fairness is a round: every
tenant with due work gets its share of the window, and within it every domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from relay.clock import from_millis
from relay.database.contract import Connection
from relay.ids import SpoolId
from relay.mail.envelope import Envelope, Notify, Recipient, Return
from relay.spool.accepting import SUSPENDED, is_living
from relay.spool.control import bounce_reason, cancel
from relay.spool.life import Wanted
from relay.spool.quarantine import quarantine
from relay.spool.rows import column_address, column_path, column_warmth
from relay.spool.work import Door, Duty, Incarnation, Parcel

MAX_LANES: Final = 64
"""Lanes looked at for one tenant in one claim."""


_Leased = tuple[int, int, int, int, int | None, int | None, int, int, str | None, int | None, int | None]

UNREADABLE: Final = (ValueError, OverflowError, TypeError, LookupError)
"""What making values of rows raises when the rows are not what we wrote."""

WHY_UNREADABLE: Final = "its rows in the spool cannot be read"


def claim(connection: Connection, incarnation: Incarnation, wanted: Wanted, now: int) -> list[Parcel]:
    """Lease due deliveries, as many as are wanted of each lane."""
    if not is_living(connection, incarnation):
        return []
    # The longest waiting first: with more tenants than the window has room for, nobody is always the last.
    tenants = [
        tenant for due, tenant in sorted((due, tenant) for tenant, due in tenants_waiting(connection)) if due <= now
    ]
    parcels: list[Parcel] = []
    left = wanted.limit
    for position, tenant in enumerate(tenants):
        share = max(1, left // (len(tenants) - position))
        for lane, quota in _lanes(connection, tenant, share, wanted, now):
            taken = _lease_lane(connection, incarnation, lane, min(quota, left), now)
            parcels.extend(_parcels(connection, taken, now))
            left -= len(taken)
        if left <= 0:
            break
    return parcels


def tenants_waiting(connection: Connection) -> Iterator[tuple[int, int]]:
    """Every tenant with waiting deliveries and its earliest due time: one index seek a tenant."""
    tenant = -1
    while True:
        row = next(
            iter(
                connection.execute(
                    "SELECT tenant, due FROM lane WHERE due IS NOT NULL AND tenant > ? ORDER BY tenant, due LIMIT 1",
                    (tenant,),
                )
            ),
            None,
        )
        if row is None:
            return
        tenant = row[0]
        yield tenant, row[1]


def _lanes(connection: Connection, tenant: int, share: int, wanted: Wanted, now: int) -> list[tuple[int, int]]:
    """The tenant's lanes to take from, with how many each may give."""
    rows = connection.execute(
        f"SELECT id, domain FROM lane WHERE tenant = ? AND due <= ? AND NOT {SUSPENDED} ORDER BY due LIMIT ?",  # noqa: S608 - a constant of ours
        (tenant, now, now, MAX_LANES + len(wanted.skip)),
    )
    lanes = [row for row in rows if row[1] not in wanted.skip][:MAX_LANES]
    quotas = wanted.quotas(share, [domain for _, domain in lanes])
    return [(lane, quota) for (lane, _), quota in zip(lanes, quotas, strict=True) if quota]


def _lease_lane(connection: Connection, incarnation: Incarnation, lane: int, quota: int, now: int) -> list[_Leased]:
    """Lease the lane's oldest due deliveries; the columns are those of the query."""
    rows = list(
        connection.execute(
            "SELECT message, n, attempts, due, notify, asked, broken, delay_told, source, warm_up, promised"
            " FROM delivery INDEXED BY delivery_waiting WHERE lane = ? AND state = 1 AND due <= ? ORDER BY due LIMIT ?",
            (lane, now, quota),
        )
    )
    connection.executemany(
        "UPDATE delivery SET state = 2, lease = ? WHERE message = ? AND n = ?",
        [(incarnation, row[0], row[1]) for row in rows],
    )
    connection.execute(
        "UPDATE lane SET due = (SELECT min(due) FROM delivery WHERE lane = lane.id AND state = 1) WHERE id = ?",
        (lane,),
    )
    return rows


def _parcels(connection: Connection, taken: list[_Leased], now: int) -> Iterator[Parcel]:
    """One parcel a message; what an operator asked to bounce travels apart from what is to be tried.

    What cannot be read is held with an alarm: one torn row must not keep all other mail from being claimed (R06).
    """
    by_message: dict[tuple[int, str], list[_Leased]] = {}
    for row in taken:
        bounce = bounce_reason(connection, row[5]) if row[5] is not None else ""
        by_message.setdefault((row[0], bounce), []).append(row)
    for (seq, bounce), rows in by_message.items():
        try:
            parcel = _parcel(connection, seq, rows, bounce)
        except UNREADABLE:
            for row in rows:
                quarantine(connection, seq, row[1], WHY_UNREADABLE, now)
            continue
        for n in {row[1] for row in rows} - {duty.n for duty in parcel.duties}:
            cancel(connection, seq, n, "the recipient's address was erased", now)
        if parcel.duties:
            yield parcel


def _parcel(connection: Connection, seq: int, rows: list[_Leased], bounce: str) -> Parcel:
    message = next(
        iter(
            connection.execute(
                "SELECT id, tenant, door, stream, reverse_path, smtputf8, ret, envid, size, accepted_at, expires_at,"
                " received, sign_as, prelude FROM message WHERE seq = ?",
                (seq,),
            )
        ),
        None,
    )
    if message is None:
        raise LookupError(seq)
    spool_id = SpoolId(message[0])
    duties: list[Duty] = []
    for _, n, attempts, due, notify, _, broken, told, source, warm_up, promised in rows:
        recipient = _recipient(connection, seq, n, notify)
        if recipient is not None:
            duty = Duty(seq, n, spool_id, message[1], recipient, attempts, from_millis(due), bounce, broken, bool(told))
            duties.append(replace(duty, source=source or "", warmth=column_warmth(warm_up, promised)))
    envelope = Envelope(
        column_path(message[4]),
        tuple(duty.recipient for duty in duties),
        smtputf8=bool(message[5]),
        ret=Return(message[6]) if message[6] else None,
        envid=message[7],
    )
    return Parcel(
        seq=seq,
        id=spool_id,
        tenant=message[1],
        door=Door(message[2]),
        reverse_path=envelope.reverse_path,
        envelope=envelope,
        duties=tuple(duties),
        size=message[8],
        prelude=message[13],
        received=message[11],
        sign_as=message[12],
        accepted_at=from_millis(message[9]),
        expires_at=from_millis(message[10]),
        stream=message[3],
    )


def _recipient(connection: Connection, seq: int, n: int, notify: int | None) -> Recipient | None:
    for address, orcpt in connection.execute(
        "SELECT address, orcpt FROM recipient WHERE message = ? AND n = ?", (seq, n)
    ):
        return Recipient(column_address(address), None if notify is None else Notify(notify), orcpt)
    return None
