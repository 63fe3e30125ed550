"""Standing refusals as rows: the SQL, in a transaction of the caller's, so that a step may write others beside it.

What every database knows; the two places where they differ are the numbers that rise with each commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection
from relay.policy.suppress import Mark, Reason, Strikes, SuppressionRules, strike
from relay.suppression.contract import NewSuppression, Standing, Which
from relay.suppression.hashing import AddressHasher

AHEAD: Final = timedelta(hours=1)
"""What was written as of so long after now, a clock that was ahead wrote; less is the difference of two nodes."""
_OF_HOSTS: Final = tuple(reason.value for reason in Reason if reason.of_a_host)
_TOGETHER: Final = 200
"""Hashes in one statement."""

_SQLITE_NEXT: Final = (
    "SELECT max(coalesce((SELECT max(changed) FROM suppression), 0), (SELECT changed FROM suppression_deleted)) + 1"
)
_NEXT: Final = {
    "sqlite": f"({_SQLITE_NEXT})",
    "postgres": "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)",
}
_LOW_WATER: Final = {
    "sqlite": _SQLITE_NEXT,
    "postgres": "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)",
}

_SHOWN: Final = (
    "SELECT s.id, coalesce(t.name, CASE WHEN s.tenant = 0 THEN '' ELSE CAST(s.tenant AS TEXT) END), s.tenant, s.stream,"
    " s.address, s.reason, s.detail, s.times, s.created_at, s.last_at, s.until"
    " FROM suppression s LEFT JOIN tenant t ON t.id = s.tenant"
)


class SuppressionRows:
    """Reads and writes rows in open transactions of one dialect."""

    def __init__(self, dialect: str, hasher: AddressHasher, rules: SuppressionRules) -> None:
        self._hasher = hasher
        self._rules = rules
        self._low_water = _LOW_WATER[dialect]
        self.following = _NEXT[dialect]
        """SQL: a number that rises with each commit."""
        self._insert = (
            "INSERT INTO suppression (tenant, stream, hash, key, reason, address, detail, "  # noqa: S608 - ours
            f"times, created_at, last_at, until, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {_NEXT[dialect]})"
            " ON CONFLICT (hash, tenant, stream, reason) DO UPDATE SET address = excluded.address,"
            " detail = excluded.detail, times = excluded.times, last_at = excluded.last_at,"
            " until = excluded.until, changed = excluded.changed"
        )

    def hash_of(self, new: NewSuppression) -> bytes:
        """The hash a refusal is kept by: of the address for what a host said, of the mailbox for what a person did."""
        of_a_host = new.reason.of_a_host
        return self._hasher.of_address(new.address) if of_a_host else self._hasher.of_mailbox(new.address)

    def add(self, connection: Connection, new: NewSuppression, now: datetime) -> bool:
        """Write or renew a refusal; whether there was none in force. What holds for good is never shortened."""
        digest = self.hash_of(new)
        key = (digest, new.tenant, new.stream, new.reason.value)
        query = "SELECT times, until FROM suppression WHERE hash = ? AND tenant = ? AND stream = ? AND reason = ?"
        found = list(connection.execute(query, key))
        times, stands = 1, False
        until = new.until
        if found:
            old_times, old_until = found[0]
            stands = old_until is None or old_until > to_millis(now)
            # A refusal that is still in force did not prove true again: what was queued has met it late.
            times = old_times if stands else old_times + 1
        hold = self._rules.hold(new.reason, times)
        if until is None and hold is not None:
            until = now + hold
        if found and found[0][1] is None:
            until = None
        connection.execute(
            self._insert,
            (
                new.tenant,
                new.stream,
                digest,
                self._hasher.key_id,
                new.reason.value,
                str(new.address) if new.address_kept else None,
                new.detail[:500],
                times,
                to_millis(now),
                to_millis(now),
                None if until is None else to_millis(until),
            ),
        )
        if new.reason is Reason.ALLOWED:
            self._free(connection, new)
        return not stands

    def _free(self, connection: Connection, new: NewSuppression) -> None:
        """What hosts said of an address that is now allowed counts no more."""
        connection.execute(
            "DELETE FROM suppression WHERE hash = ? AND tenant = ? AND reason IN (?, ?)",
            (self._hasher.of_address(new.address), new.tenant, Reason.HARD_BOUNCE.value, Reason.SOFT_BOUNCE.value),
        )

    def strike(self, connection: Connection, new: NewSuppression, at: datetime, now: datetime) -> bool:
        """Count a soft bounce at `at`; whether it made a suppression of `new`'s address."""
        key = (self.hash_of(new), new.tenant)
        query = "SELECT times, first_at, last_at FROM soft_bounce WHERE hash = ? AND tenant = ?"
        found = [
            # What a clock that was ahead wrote counts as of now: it must not stand for a span of days.
            Strikes(times, min(at, from_millis(first)), min(at, from_millis(last)))
            if last > to_millis(at + AHEAD)
            else Strikes(times, from_millis(first), from_millis(last))
            for times, first, last in connection.execute(query, key)
        ]
        counted, suppresses = strike(found[0] if found else None, at, self._rules)
        if suppresses:
            connection.execute("DELETE FROM soft_bounce WHERE hash = ? AND tenant = ?", key)
            self.add(connection, new, now)
            return True
        connection.execute(
            "INSERT INTO soft_bounce (hash, tenant, times, first_at, last_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (hash, tenant) DO UPDATE SET times = excluded.times, first_at = excluded.first_at,"
            " last_at = excluded.last_at",
            (*key, counted.times, to_millis(counted.first), to_millis(counted.last)),
        )
        return False

    def counts_any(self, connection: Connection) -> bool:
        """Whether any soft bounce is being counted: if not, deliveries have nothing to forgive."""
        return next(iter(list(connection.execute("SELECT 1 FROM soft_bounce LIMIT 1"))), None) is not None

    def forgive(self, connection: Connection, delivered: Iterable[tuple[int, bytes]]) -> None:
        """Forget the soft bounces of addresses (tenant, hash) to which something was delivered."""
        connection.executemany("DELETE FROM soft_bounce WHERE tenant = ? AND hash = ?", list(delivered))

    def marks(self, connection: Connection, hashes: Sequence[bytes]) -> dict[bytes, list[Mark]]:
        """Every row about these hashes, in force or not."""
        found: dict[bytes, list[Mark]] = {}
        for part in _slices(hashes):
            for digest, tenant, stream, reason, until, since in connection.execute(
                f"SELECT hash, tenant, stream, reason, until, created_at FROM suppression"  # noqa: S608 - marks only
                f" WHERE hash IN ({_places(part)})",
                part,
            ):
                end = None if until is None else from_millis(until)
                mark = Mark(Reason(reason), tenant, stream, end, from_millis(since))
                found.setdefault(bytes(digest), []).append(mark)
        return found

    def changed_since(self, connection: Connection, low: int) -> tuple[int, list[bytes]]:
        """(where to go on, hashes of rows touched at `low` or later); a row may be told twice, none is missed."""
        # In this order: on a database whose reads are no snapshot, a row must not come between the two.
        ((low_water,),) = list(connection.execute(self._low_water))
        rows = connection.execute("SELECT hash FROM suppression WHERE changed >= ?", (low,))
        return int(low_water), [bytes(digest) for (digest,) in rows]

    def all_hashes(self, connection: Connection, after: int, limit: int) -> list[tuple[int, bytes]]:
        """(id, hash) of the rows after an id."""
        query = "SELECT id, hash FROM suppression WHERE id > ? ORDER BY id LIMIT ?"
        return [(number, bytes(digest)) for number, digest in connection.execute(query, (after, limit))]

    def show(self, connection: Connection, which: Which) -> list[Standing]:
        """The rows that match, by id."""
        terms, values = self._condition(which)
        rows = connection.execute(f"{_SHOWN} WHERE {terms} ORDER BY s.id LIMIT ?", (*values, which.limit))
        return [_standing(row) for row in rows]

    def unwilling(self, connection: Connection, tenant: int, stream: str) -> int:
        """How many mailboxes refuse a tenant's mail of a stream by their owner's own word, which holds for good."""
        theirs = [reason.value for reason in Reason if reason.of_the_recipient]
        sql = (
            "SELECT COUNT(DISTINCT hash) FROM suppression"  # noqa: S608 - marks
            f" WHERE tenant = ? AND stream IN ('', ?) AND reason IN ({', '.join('?' * len(theirs))})"
        )
        [(count,)] = connection.execute(sql, (tenant, stream, *theirs))
        return int(count)

    def remove(self, connection: Connection, which: Which, *, spare_the_recipients: bool) -> int:
        """Delete what matches, but what recipients themselves said if it is to be spared; the number deleted."""
        terms, values = self._condition(which)
        if spare_the_recipients:
            terms += " AND s.reason NOT IN (?, ?)"
            values += [Reason.COMPLAINT.value, Reason.OPT_OUT.value]
        numbers = [row[0] for row in connection.execute(f"SELECT s.id FROM suppression s WHERE {terms}", values)]  # noqa: S608 - terms are ours
        connection.executemany("DELETE FROM suppression WHERE id = ?", [(number,) for number in numbers])
        return len(numbers)

    def erase(self, connection: Connection, which: Which) -> int:
        """Erase the addresses of what matches; the refusals hold on by their hashes. The number erased."""
        terms, values = self._condition(which)
        numbers = list(
            connection.execute(f"SELECT s.id FROM suppression s WHERE {terms} AND s.address IS NOT NULL", values)  # noqa: S608 - terms are ours
        )
        connection.executemany("UPDATE suppression SET address = NULL, detail = '' WHERE id = ?", numbers)
        return len(numbers)

    def purge(self, connection: Connection, now: datetime, limit: int) -> int:
        """Delete refusals that are over for as long again as they held, and soft bounces nobody counts any more.

        Until then a refusal that proves true again holds twice as long. At most `limit` of each; the most deleted.
        """
        over = [
            row[0]
            for row in connection.execute(
                "SELECT id FROM suppression WHERE until <= ? AND until + (until - last_at) <= ? ORDER BY until LIMIT ?",
                (to_millis(now), to_millis(now), limit),
            )
        ]
        connection.executemany("DELETE FROM suppression WHERE id = ?", [(number,) for number in over])
        old = list(
            connection.execute(
                "SELECT hash, tenant FROM soft_bounce WHERE last_at <= ? ORDER BY last_at LIMIT ?",
                (to_millis(now - self._rules.soft_memory), limit),
            )
        )
        connection.executemany("DELETE FROM soft_bounce WHERE hash = ? AND tenant = ?", old)
        return max(len(over), len(old))

    def bring_back(self, connection: Connection, now: datetime) -> list[bytes]:
        """Let hosts' refusals and counted bounces that a clock ahead has written begin now; the refusals' hashes.

        A refusal would hold for as long as the clock was ahead, and a bounce be counted as the last one until then.
        """
        latest, moment = to_millis(now + AHEAD), to_millis(now)
        found = connection.execute(
            f"UPDATE suppression SET until = until - last_at + ?, last_at = ?,"  # noqa: S608 - ours
            f" created_at = CASE WHEN created_at > ? THEN ? ELSE created_at END, changed = {self.following}"
            f" WHERE last_at > ? AND reason IN ({_places(_OF_HOSTS)}) RETURNING hash",
            (moment, moment, moment, moment, latest, *_OF_HOSTS),
        )
        hashes = [bytes(digest) for (digest,) in found]
        connection.execute(
            "UPDATE soft_bounce SET first_at = CASE WHEN first_at > ? THEN ? ELSE first_at END, last_at = ?"
            " WHERE last_at > ?",
            (moment, moment, moment, latest),
        )
        return hashes

    def _condition(self, which: Which) -> tuple[str, list[Any]]:
        terms: list[str] = ["s.id > ?"]
        values: list[Any] = [which.after]
        if which.tenant is not None:
            terms.append("s.tenant IN (?, 0)" if which.with_global else "s.tenant = ?")
            values.append(which.tenant)
        if which.reason is not None:
            terms.append("s.reason = ?")
            values.append(which.reason.value)
        if which.stream is not None:
            terms.append("s.stream = ?")
            values.append(which.stream)
        if which.address is not None:
            hashes = self._hasher.all_of(which.address)
            terms.append(f"s.hash IN ({_places(hashes)})")
            values.extend(hashes)
        return " AND ".join(terms), values


def _slices(hashes: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(hashes), _TOGETHER):
        yield hashes[start : start + _TOGETHER]


def _places(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _standing(row: tuple[Any, ...]) -> Standing:
    return Standing(
        id=row[0],
        tenant=str(row[1]),
        tenant_id=row[2],
        stream=row[3],
        address=row[4],
        reason=Reason(row[5]),
        detail=row[6],
        times=row[7],
        created_at=from_millis(row[8]),
        last_at=from_millis(row[9]),
        until=None if row[10] is None else from_millis(row[10]),
    )
