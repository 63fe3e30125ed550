"""The journal: every event of the spool, of all tenants, as a line of JSON in a file, for those who ship logs.

Stands beside the outbox and reads the same stream. One worker of a node writes it; a node that was away goes on
where its file ends. When the file cannot be written, an alarm says so and nothing is passed over.
"""

from __future__ import annotations

import asyncio
from typing import Final

from relay.engine.alarms import Alarms
from relay.errors import SpoolUnavailableError
from relay.event.feed import EventFilter, Position, event_document
from relay.log import Log
from relay.notify.journal_file import JournalFile
from relay.policy.alarms import AlarmKind
from relay.spool.contract import Spool
from relay.spool.rows import dump

_log = Log("journal")

PAGE: Final = 500
LOOK_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 5.0
"""After a failure, or while another process writes the file."""
ALARM: Final = AlarmKind.JOURNAL

_ESCAPES: Final = {point: f"\\u{point:04x}" for point in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
"""What some readers take for the end of a line, and terminals for an order; JSON alone would let it stand."""


class Journal:
    """Owns one task."""

    def __init__(self, spool: Spool, file: JournalFile, alarms: Alarms, name: str) -> None:
        self._spool = spool
        self._file = file
        self._alarms = alarms
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._position: Position | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="journal")

    async def stop(self) -> None:
        """End the task; the batch under way is written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._file.close)

    async def _run(self) -> None:
        while True:
            pause = LOOK_SECONDS
            try:
                await self._catch_up()
                await self._alarms.end(ALARM, self._name)
            except BlockingIOError:
                pause = AGAIN_SECONDS
            except SpoolUnavailableError as error:
                _log.warning("look-failed", error=error)
            except OSError as error:
                pause = AGAIN_SECONDS
                await self._alarms.start(ALARM, self._name, error.strerror or str(error))
            except Exception:  # noqa: BLE001 - one bad round must not end the journal
                _log.exception("journal-broken")
            await asyncio.sleep(pause)

    async def _catch_up(self) -> None:
        """Write everything there is; shielded, for a batch that was begun in a thread ends there."""
        if self._position is None:
            self._position = await self._begin()
        more = True
        while more:
            page = await self._spool.events(EventFilter(self._position, PAGE))
            if page.events:
                lines = [dump(event_document(event)).translate(_ESCAPES) for event in page.events]
                await asyncio.shield(asyncio.to_thread(self._file.append, lines, page.cursor))
            self._position = page.cursor
            more = page.more

    async def _begin(self) -> Position:
        """Where to go on: a journal that begins, begins now."""
        newest = await self._spool.last_event()
        found = await asyncio.to_thread(self._file.open)
        if found is not None and found <= newest:
            return found
        if found is not None:
            _log.error("journal-ahead", remedy="its spool is another or older one: it goes on with what happens now")
        await asyncio.to_thread(self._file.note, newest)
        return newest
