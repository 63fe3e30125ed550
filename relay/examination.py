"""The examination of a SQLite spool at the start of a node: is every page sound?

Beside the work, so that a large spool does not delay the start. What it finds is an alarm, turns `/readyz` red and has
new mail refused (`relay.spool.sqlite`); what can still be read is delivered (R07).
"""

from __future__ import annotations

import asyncio
from typing import Final

from relay.database.contract import Database
from relay.database.sqlite import SqliteDatabase
from relay.engine.alarms import Alarms
from relay.log import Log
from relay.policy.alarms import AlarmKind

_log = Log("spool")

ALARM: Final = AlarmKind.DAMAGED_SPOOL


class Examination:
    """Owns one task."""

    def __init__(self, database: Database, alarms: Alarms) -> None:
        self._database = database
        self._alarms = alarms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; a server's database looks after itself."""
        if isinstance(self._database, SqliteDatabase):
            self._task = asyncio.create_task(self._run(self._database), name="examination")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, database: SqliteDatabase) -> None:
        try:
            if damage := await database.examine():
                _log.error("spool-damaged", damage=damage)
                await self._alarms.start(ALARM, str(database.path), damage)
            else:
                await self._alarms.end(ALARM, str(database.path))
        except Exception:  # noqa: BLE001 - whatever else is wrong, the work itself will meet
            _log.exception("examination-failed")
