"""The book of warm-ups: every question is answered in a transaction, so that all workers share one ceiling.

Stands between the engine, which asks before a letter of a young source may leave, and the rows. What it answers is
decided by `relay.policy.warm_up`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from relay.clock import Clock
from relay.database.contract import Connection, Database
from relay.policy.warm_up import DAY, IDLE_DAYS, Results, today
from relay.shaping.contract import Answer, Forecast, Question, Unused, WarmUpView
from relay.shaping.rows import answer, forecast, forget_warm_ups, give_back, warm_up_days, warm_ups

MIGRATIONS: Final = Path(__file__).parent / "sql" / "sqlite"
"""Those of the other dialects stand beside them."""

KEPT_DAYS: Final = 2 * IDLE_DAYS
"""How long a warm-up is kept that no mail asked for; a month is forgiven to nobody by its provider either."""


class WarmUpBook:
    """The warm-ups in a database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def migrate(self) -> None:
        """Make or update the tables. Raises SchemaError, SpoolUnavailableError."""
        await self._database.migrate("shaping", MIGRATIONS.with_name(self._database.dialect))

    async def ask(self, questions: Sequence[Question], unused: Sequence[Unused] = ()) -> list[Answer]:
        """Who may leave now, in the order of the questions; before that, what was not used is given back.

        Raises SpoolUnavailableError.
        """
        now = self._clock.now().timestamp()

        def work(connection: Connection) -> list[Answer]:
            # In one order, so that two who ask at once wait for each other and never in a ring.
            for one in sorted(unused, key=lambda one: (one.row, one.day)):
                give_back(connection, one)
            answers: dict[int, Answer] = {}
            by_key: dict[tuple[object, ...], list[int]] = {}
            for place, question in enumerate(questions):
                by_key.setdefault(tuple(question.key), []).append(place)
            for _, places in sorted(by_key.items(), key=lambda item: [str(part) for part in item[0]]):
                found = answer(connection, [questions[place] for place in places], now)
                answers.update(zip(places, found, strict=True))
            return [answers[place] for place in range(len(questions))]

        return await self._database.write(work)

    async def give_back(self, unused: Sequence[Unused]) -> None:
        """These letters did not leave. Raises SpoolUnavailableError."""
        if unused:
            await self.ask((), unused)

    async def views(self) -> list[WarmUpView]:
        """Every warm-up that is known."""
        now = self._clock.now()
        return await self._database.read(lambda connection: warm_ups(connection, now))

    async def days(self, oldest: int) -> dict[int, dict[int, Results]]:
        """What each day from `oldest` on brought, by the warm-up's row and the day, counted from the epoch."""
        return await self._database.read(lambda connection: warm_up_days(connection, oldest))

    async def forecast(self, question: Question) -> Forecast:
        """What a letter that came now would be told, with nothing counted. Raises SpoolUnavailableError."""
        now = self._clock.now().timestamp()
        return await self._database.read(lambda connection: forecast(connection, question, now))

    async def reasons(self, rows: Iterable[int]) -> dict[int, str]:
        """Why a letter has to wait for these warm-ups, in words."""
        wanted = set(rows)
        return {view.row: str(view) for view in await self.views() if view.row in wanted} if wanted else {}

    async def forget(self) -> None:
        """Delete warm-ups that nobody asked for in a long time, and old days."""
        oldest = today((self._clock.now() - timedelta(seconds=KEPT_DAYS * DAY)).timestamp())
        await self._database.write(lambda connection: forget_warm_ups(connection, oldest))
