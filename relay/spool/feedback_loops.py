"""The ledger of feedback loops: at which providers the operator asked for complaints, and what came by them since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.spool.inbound_rows import moment


@dataclass(frozen=True, slots=True)
class FeedbackLoop:
    """A line of the ledger: a provider's loop, when it was enrolled, its first and last report and their number."""

    name: str
    enrolled_at: datetime | None
    first_at: datetime | None
    last_at: datetime | None
    reports: int


class FeedbackLoops:
    """Over the spool's database, after its migrations."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def enrol(self, loop: str) -> None:
        """Write down that a feedback loop was asked for today; a second time changes nothing."""
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO feedback_loop (name, enrolled_at, reports) VALUES (?, ?, 0) ON CONFLICT (name)"
                " DO UPDATE SET enrolled_at = coalesce(feedback_loop.enrolled_at, excluded.enrolled_at)",
                (loop, now),
            )

        await self._database.write(work)

    async def listing(self) -> list[FeedbackLoop]:
        """All of them, by name."""
        query = "SELECT name, enrolled_at, first_at, last_at, reports FROM feedback_loop ORDER BY name"
        rows = await rows_of(self._database, query)
        return [
            FeedbackLoop(name, moment(enrolled), moment(first), moment(last), reports)
            for name, enrolled, first, last, reports in rows
        ]


def count_report(connection: Connection, loop: str, now: int) -> None:
    """A complaint came by a loop, in the caller's transaction; `now` in milliseconds."""
    connection.execute(
        "INSERT INTO feedback_loop (name, first_at, last_at, reports) VALUES (?, ?, ?, 1) ON CONFLICT (name)"
        " DO UPDATE SET first_at = coalesce(feedback_loop.first_at, excluded.first_at),"
        " last_at = excluded.last_at, reports = feedback_loop.reports + 1",
        (loop, now, now),
    )
