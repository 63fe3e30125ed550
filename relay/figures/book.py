"""The book of figures: moved on with the stream of events, asked for reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.event.feed import BEGINNING, Position, parse_cursor
from relay.figures.brakes import Brake, brakes, loosen, tighten
from relay.figures.contract import ReportQuery, ReportRow
from relay.figures.depths import Depth, Span, depths, forget_depths, is_noted, note_depth
from relay.figures.rows import forget_figures, report
from relay.figures.seeds import SeedLetter, add_seed_letters, forget_seed_letters, seed_letters
from relay.policy.complaints import BrakeRules

MIGRATIONS: Final = Path(__file__).parent / "sql" / "sqlite"
"""Those of the other dialects stand beside them."""

KEPT: Final = timedelta(days=400)
"""A year, and the month that it is compared with."""

HELD_MILLIS: Final = 10_000
"""How long whoever reads the stream is left alone with it."""

_NAME: Final = "figures"


class FigureBook:
    """The figures in a database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def migrate(self) -> None:
        """Make or update the tables. Raises SchemaError, SpoolUnavailableError."""
        await self._database.migrate("figures", MIGRATIONS.with_name(self._database.dialect))

    async def take(self, holder: str) -> Position | None:
        """Where `holder` is to read on, None while somebody else reads.

        It only spares work: that nothing is counted twice is `advance`'s to guarantee.
        """
        now = to_millis(self._clock.now())
        query = "SELECT cursor, holder, until FROM reader WHERE name = ?"
        found = await rows_of(self._database, query, (_NAME,))
        if found and found[0][1] != holder and now < found[0][2] < now + 10 * HELD_MILLIS:
            return None
        if not found or found[0][1] != holder or found[0][2] - now < HELD_MILLIS // 2:
            await self._database.write(lambda connection: self._hold(connection, holder, now))
        return parse_cursor(found[0][0]) if found else BEGINNING

    @staticmethod
    def _hold(connection: Connection, holder: str, now: int) -> None:
        connection.execute(
            "INSERT INTO reader (name, cursor, holder, until) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until",
            (_NAME, str(BEGINNING), holder, now + HELD_MILLIS),
        )

    async def advance(self, before: Position, after: Position, work: Callable[[Connection], None]) -> bool:
        """Write what was read between two positions; False, and nothing written, if somebody else did."""

        def written(connection: Connection) -> bool:
            connection.execute(
                "UPDATE reader SET cursor = ? WHERE name = ? AND cursor = ?", (str(after), _NAME, str(before))
            )
            if connection.changes() != 1:
                return False
            work(connection)
            return True

        return await self._database.write(written)

    async def report(self, query: ReportQuery) -> list[ReportRow]:
        """The rows of a report."""
        return await self._database.read(lambda connection: report(connection, query))

    async def tenant(self, name: str) -> int | None:
        """The number of the tenant called `name`, None if nobody is."""
        rows = await rows_of(self._database, "SELECT id FROM tenant WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    async def tenants(self) -> dict[str, int]:
        """The number of every tenant, by name."""
        return dict(await rows_of(self._database, "SELECT name, id FROM tenant"))

    async def brakes(self) -> list[Brake]:
        """The brakes that stand."""
        return await self._database.read(brakes)

    async def tighten(self, rules: BrakeRules) -> int:
        """Brake where complaints ask for it; how often that was."""
        now = self._clock.now()
        return await self._database.write(lambda connection: tighten(connection, rules, now))

    async def loosen(self, tenant: str, stream: str) -> Brake | None:
        """End a brake by the tenant's and the stream's name; the brake, None if none stood."""
        now = self._clock.now()
        return await self._database.write(lambda connection: loosen(connection, tenant, stream, now))

    async def forget(self) -> None:
        """Delete what is older than is kept."""
        now = self._clock.now()
        before = now - KEPT

        def forget(connection: Connection) -> None:
            forget_figures(connection, before)
            forget_seed_letters(connection, before)
            forget_depths(connection, now)

        await self._database.write(forget)

    async def note_depth(self, depth: Depth) -> None:
        """Keep how deep the queue is, once in five minutes whoever counted it."""
        if not await self._database.read(lambda connection: is_noted(connection, depth.at)):
            await self._database.write(lambda connection: note_depth(connection, depth))

    async def depths(self, span: Span, since: datetime) -> Sequence[Depth]:
        """How deep the queue was, the oldest first."""
        return await self._database.read(lambda connection: depths(connection, span, since))

    async def add_seed_letters(self, letters: Sequence[SeedLetter]) -> None:
        """Keep what became of letters to seeds."""
        await self._database.write(lambda connection: add_seed_letters(connection, letters))

    async def seed_letters(self, since: datetime) -> list[SeedLetter]:
        """The letters to seeds since then, by seed and time."""
        return await self._database.read(lambda connection: seed_letters(connection, since))
