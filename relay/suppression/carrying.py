"""Refusals of another state of the same database, taken over once an older backup was restored.

What people said after the backup is not in it, and of most of them nothing but a keyed hash is known: no list could
bring them back. A refusal that stands in either state stands, for the longer of both times; an address that was erased
in either is erased.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from relay.database.contract import Connection
from relay.policy.suppress import Reason

CARRIED_AT_ONCE: Final = 500
"""Rows in one transaction: mail that is accepted meanwhile waits for no longer than these."""

SAID: Final = (
    "SELECT id, tenant, stream, hash, key, reason, address, detail, times, created_at, last_at, until FROM suppression"  # noqa: S608 - constants
    f" WHERE id > ? AND reason IN ({', '.join(repr(one.value) for one in Reason if one.of_a_person)})"
    f" ORDER BY id LIMIT {CARRIED_AT_ONCE}"
)
"""What people said, after an id: rows to carry. What hosts said is learnt again."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A row of another state."""

    id: int
    hash: bytes
    values: tuple[Any, ...]
    """All of its columns, from the tenant on."""


def carried(row: Sequence[Any]) -> Carried:
    """A row of `SAID`."""
    return Carried(int(row[0]), bytes(row[3]), tuple(row[1:]))


class CarryingRows:
    """Writes such rows; `following` is the dialect's number that rises with each commit."""

    def __init__(self, following: str) -> None:
        self._known = "SELECT 1 FROM suppression WHERE tenant = ? AND stream = ? AND hash = ? AND reason = ?"
        self._write = (
            "INSERT INTO suppression (tenant, stream, hash, key, reason, address, detail, times, created_at, last_at,"  # noqa: S608 - ours
            f" until, changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {following})"
            " ON CONFLICT (hash, tenant, stream, reason) DO UPDATE SET"
            " address = CASE WHEN excluded.address IS NULL THEN NULL ELSE suppression.address END,"
            " detail = CASE WHEN excluded.address IS NULL THEN '' ELSE suppression.detail END,"
            " until = CASE WHEN excluded.until IS NULL OR suppression.until IS NULL THEN NULL"
            " WHEN excluded.until > suppression.until THEN excluded.until ELSE suppression.until END,"
            " changed = excluded.changed"
        )

    def take_over(self, connection: Connection, row: Carried) -> bool:
        """Write one; whether it was not known here."""
        tenant, stream, digest, _, reason = row.values[:5]
        fresh = not list(connection.execute(self._known, (tenant, stream, digest, reason)))
        connection.execute(self._write, row.values)
        return fresh
