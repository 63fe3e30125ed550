"""MTA-STS policies in the database: what one worker fetched holds for all of them, and after a restart.

Without it, who can block the fetch at the moment of a restart would get a policy's domain delivered to as without one
(RFC 8461 §10.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.policy.mta_sts import StsMode, StsPolicy
from relay.resolver.mta_sts import MAX_CACHED, StoredPolicy, lasts

_MIGRATIONS: Final = Path(__file__).parent / "sql"
_COLUMNS: Final = "domain, id, mode, mx, max_age, fetched"


class StsStore:
    """The policies in a database. Its methods raise SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def migrate(self) -> None:
        """Make or update the table. Raises SchemaError too."""
        await self._database.migrate("resolver", _MIGRATIONS / self._database.dialect)

    async def load(self) -> list[StoredPolicy]:
        """The policies that are valid, those fetched last last."""
        query = f"SELECT {_COLUMNS} FROM sts_policy WHERE ends > ? ORDER BY fetched DESC LIMIT ?"  # noqa: S608
        wanted = (to_millis(self._clock.now()), MAX_CACHED)
        rows = await rows_of(self._database, query, wanted)
        return [_stored(row) for row in reversed(rows)]

    async def find(self, domain: str) -> StoredPolicy | None:
        """A domain's policy if there is a valid one."""
        query = f"SELECT {_COLUMNS} FROM sts_policy WHERE domain = ? AND ends > ?"  # noqa: S608
        wanted = (domain, to_millis(self._clock.now()))
        rows = await rows_of(self._database, query, wanted)
        return _stored(rows[0]) if rows else None

    async def keep(self, found: StoredPolicy) -> None:
        """Write a policy in the place of an older one, and forget those that have ended."""
        policy, fetched = found.policy, to_millis(found.fetched)
        row = (
            found.domain,
            found.id,
            policy.mode.value,
            " ".join(policy.mx),
            policy.max_age,
            fetched,
            fetched + int(lasts(policy) * 1000),
        )

        def work(connection: Connection) -> None:
            connection.execute("DELETE FROM sts_policy WHERE ends <= ?", (to_millis(self._clock.now()),))
            connection.execute(
                f"INSERT INTO sts_policy ({_COLUMNS}, ends) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (domain)"  # noqa: S608
                " DO UPDATE SET id = excluded.id, mode = excluded.mode, mx = excluded.mx, max_age = excluded.max_age,"
                " fetched = excluded.fetched, ends = excluded.ends WHERE sts_policy.fetched <= excluded.fetched",
                row,
            )

        await self._database.write(work)


def _stored(row: Sequence[Any]) -> StoredPolicy:
    domain, number, mode, mx, max_age, fetched = row
    return StoredPolicy(domain, number, StsPolicy(StsMode(mode), tuple(mx.split()), max_age), from_millis(fetched))
