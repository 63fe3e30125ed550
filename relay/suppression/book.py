"""The book of standing refusals: asked at intake and at departure, written by people, hosts and recipients.

Every process knows in memory which addresses are surely free, so most mail costs no look-up. What other processes
write is heard of within a second; what this one writes, at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from relay.clock import Clock
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.mail.address import Address
from relay.policy.suppress import Mark, Reason, SuppressionRules, in_force
from relay.suppression.absent import Absence
from relay.suppression.carrying import Carried, CarryingRows
from relay.suppression.changes import Changes
from relay.suppression.contract import NewSuppression, Standing, Which
from relay.suppression.hashing import AddressHasher
from relay.suppression.rows import SuppressionRows

MIGRATIONS: Final = Path(__file__).parent / "sql" / "sqlite"
"""Those of the other dialects stand beside them."""

POLL_SECONDS: Final = 1.0
"""How late a refusal written by another process is heard of."""

_OF_PEOPLE: Final = tuple(reason for reason in Reason if reason.of_the_recipient)
_LOADED_AT_ONCE: Final = 20_000
_WRITTEN_AT_ONCE: Final = 500
"""Rows of an import in one transaction: mail that is accepted meanwhile waits for no longer than these."""

_Part = Callable[[Connection], list[tuple[int, bytes]]]
_Write = Callable[[Connection], int]


class SuppressionBook:
    """The refusals in a database. Works without `start` too, then every question goes to the database."""

    def __init__(self, database: Database, clock: Clock, hasher: AddressHasher, rules: SuppressionRules) -> None:
        self._database = database
        self._clock = clock
        self.hasher = hasher
        self.rows = SuppressionRows(database.dialect, hasher, rules)
        self._carrying = CarryingRows(self.rows.following)
        self.changes = Changes()
        self._absence: Absence | None = None
        self._low = 0
        self._task: asyncio.Task[None] | None = None
        self._log = Log("suppression")

    async def migrate(self) -> None:
        """Make or update the tables. Raises SchemaError, SpoolUnavailableError."""
        await self._database.migrate("suppression", MIGRATIONS.with_name(self._database.dialect))

    async def start(self) -> None:
        """Learn what there is, and begin to hear of what comes. Raises SpoolUnavailableError."""
        absence = Absence()
        self._low, _ = await self._database.read(lambda connection: self.rows.changed_since(connection, 2**62))
        last, count = 0, 0
        while part := await self._database.read(self._part_after(last)):
            for last, digest in part:  # noqa: B007 - the last one is where the next part begins
                absence.add(digest)
            count += len(part)
        self._absence = absence
        self._task = asyncio.create_task(self._poll(), name="suppression-changes")
        self._log.info("suppressions-loaded", rows=count)

    def _part_after(self, last: int) -> _Part:
        return lambda connection: self.rows.all_hashes(connection, last, _LOADED_AT_ONCE)

    async def stop(self) -> None:
        """End the task; the database stays open."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.catch_up()
            except SpoolUnavailableError as error:
                self._log.warning("changes-unread", error=error)
            except Exception:  # noqa: BLE001 - a refusal must be heard of, whatever one look met
                self._log.exception("changes-broken")

    async def catch_up(self) -> None:
        """Hear now of what other processes wrote."""
        low = self._low
        self._low, hashes = await self._database.read(lambda connection: self.rows.changed_since(connection, low))
        self.learnt(hashes)

    def learnt(self, hashes: Iterable[bytes]) -> None:
        """Rows of these hashes were committed."""
        known = list(hashes)
        if self._absence is not None:
            for digest in known:
                self._absence.add(digest)
        self.changes.note(known)

    def surely_free(self, address: Address) -> bool:
        """Whether no row stands about an address; False may be a mistake. Asks no database."""
        absence = self._absence
        return absence is not None and (absence.is_empty or absence.holds_none(self.hasher.all_of(address)))

    async def find(self, tenant: int, stream: str, addresses: Sequence[Address]) -> dict[int, Mark]:
        """What stops mail of a tenant and stream, by place in `addresses`. Raises SpoolUnavailableError."""
        hashes = {n: self.hasher.all_of(address) for n, address in enumerate(addresses)}
        if self._absence is not None:
            hashes = {n: some for n, some in hashes.items() if not self._absence.holds_none(some)}
        if not hashes:
            return {}
        asked = list(dict.fromkeys(digest for some in hashes.values() for digest in some))
        found = await self._database.read(lambda connection: self.rows.marks(connection, asked))
        now = self._clock.now()
        stops: dict[int, Mark] = {}
        for n, some in hashes.items():
            marks = [mark for digest in some for mark in found.get(digest, ())]
            if (mark := in_force(marks, tenant, stream, now)) is not None:
                stops[n] = mark
        return stops

    async def unwilling(self, tenant: int, stream: str) -> int:
        """How many recipients opted out of a tenant's mail of a stream, or complained. Raises SpoolUnavailableError."""
        return await self._database.read(lambda connection: self.rows.unwilling(connection, tenant, stream))

    async def add(self, entries: Sequence[NewSuppression]) -> int:
        """Write refusals; the number of those that were not in force yet. Raises SpoolUnavailableError."""
        fresh = 0
        for start in range(0, len(entries), _WRITTEN_AT_ONCE):
            part = entries[start : start + _WRITTEN_AT_ONCE]
            fresh += await self._database.write(self._writing(part))
            self.learnt(self.rows.hash_of(entry) for entry in part)
        return fresh

    async def add_beside(self, new: NewSuppression, work: Callable[[Connection, bool], None]) -> bool:
        """Write one refusal, and in the same transaction what `work` does, told whether it is new; whether it was."""
        now = self._clock.now()

        def both(connection: Connection) -> bool:
            fresh = self.rows.add(connection, new, now)
            work(connection, fresh)
            return fresh

        written = await self._database.write(both)
        self.learnt([self.rows.hash_of(new)])
        return written

    def _writing(self, entries: Sequence[NewSuppression]) -> _Write:
        now = self._clock.now()
        return lambda connection: sum(self.rows.add(connection, entry, now) for entry in entries)

    async def tenant(self, name: str) -> int | None:
        """The number of the tenant called `name`, None if nobody is."""
        rows = await rows_of(self._database, "SELECT id FROM tenant WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    async def show(self, which: Which) -> list[Standing]:
        """The rows that match, by id."""
        return await self._database.read(lambda connection: self.rows.show(connection, which))

    async def remove(self, which: Which, *, spare_the_recipients: bool = True) -> int:
        """Take refusals back, those that recipients made only if they are not spared; the number taken back."""
        removed = await self._database.write(
            lambda connection: self.rows.remove(connection, which, spare_the_recipients=spare_the_recipients)
        )
        self._log.info("suppressions-removed", rows=removed)
        return removed

    async def bring_back(self) -> int:
        """Date hosts' refusals that a clock ahead has written; how many they were. Raises SpoolUnavailableError."""
        now = self._clock.now()
        dated = await self._database.write(lambda connection: self.rows.bring_back(connection, now))
        self.learnt(dated)
        if dated:
            self._log.warning("suppressions-dated", rows=len(dated))
        return len(dated)

    async def purge(self, limit: int) -> int:
        """Delete up to `limit` of what is long over; how much it was. Raises SpoolUnavailableError."""
        now = self._clock.now()
        purged = await self._database.write(lambda connection: self.rows.purge(connection, now, limit))
        if purged:
            self._log.info("suppressions-purged", rows=purged)
        return purged

    async def take_over(self, rows: Sequence[Carried]) -> int:
        """Write refusals of another state of this database; how many were not known. Raises SpoolUnavailableError."""
        taken = await self._database.write(
            lambda connection: sum(self._carrying.take_over(connection, row) for row in rows)
        )
        self.learnt(row.hash for row in rows)
        return taken

    async def erase_people(self, tenants: Collection[int]) -> int:
        """Erase the addresses of people who refuse these tenants' mail; how many. Raises SpoolUnavailableError.

        They were written before a keyed hash alone was kept of them, or imported.
        """
        wanted = [Which(tenant=tenant, reason=reason) for tenant in sorted(tenants) for reason in _OF_PEOPLE]
        erased = sum([await self.erase(which) for which in wanted])
        if erased:
            self._log.info("suppressions-erased", rows=erased)
        return erased

    async def erase(self, which: Which) -> int:
        """Erase addresses; their refusals hold on. The number erased."""
        return await self._database.write(lambda connection: self.rows.erase(connection, which))
