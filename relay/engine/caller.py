"""The caller: tells people of alarms and of their ends, on every way that was configured.

Owns one task, on one worker of a node; nodes share the book of calls, so each call is made once. A way that fails is
tried again, later and later, and holds up neither the other ways nor the node. While the database is away, what stands
in memory alone is told all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from relay.clock import Clock, has_come
from relay.engine.alarms import Alarms
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.notify.call_book import CallBook
from relay.notify.ways import Told, Way
from relay.policy.calling import LONGEST_PAUSE, Call, Key, Standing, due, gather, pause
from relay.spool.contract import Spool

LOOK_SECONDS: Final = 5.0
_log = Log("alarm")


@dataclass(frozen=True, slots=True)
class Calling:
    """How a node calls: under its name, by the book that all nodes share, at most `most` calls an hour and way."""

    node: str
    book: CallBook
    clock: Clock
    most: int


class Caller:
    """Calls for one node."""

    def __init__(self, calling: Calling, ways: Sequence[Way], spool: Spool, alarms: Alarms) -> None:
        self._lines = [_Line(calling, way) for way in ways]
        self._spool = spool
        self._alarms = alarms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to call."""
        if self._lines:
            self._task = asyncio.create_task(self._run(), name="caller")

    async def stop(self) -> None:
        """End; a call under way is given up, and made again later."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Make every call that is due."""
        unstored = dict(self._alarms.unstored)
        alone = {key: Standing(alarm.since, alarm.detail) for key, alarm in unstored.items()}
        try:
            rows = {(one.kind, one.subject): Standing(one.since, one.detail) for one in await self._spool.alarms()}
        except SpoolUnavailableError:
            await asyncio.gather(*(line.call_alone(alone) for line in self._lines))
            return
        await asyncio.gather(*(line.call(rows, alone) for line in self._lines))

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except SpoolUnavailableError as error:
                _log.warning("calls-wait", error=error)
            except Exception:  # noqa: BLE001 - who calls for help must outlive whatever one look meets
                _log.exception("caller-broken")
            await asyncio.sleep(LOOK_SECONDS)


class _Line:
    """One way, and what was told on it without the book."""

    def __init__(self, calling: Calling, way: Way) -> None:
        self._node = calling.node
        self._way = way
        self._book = calling.book
        self._clock = calling.clock
        self._most = calling.most
        self._made: deque[datetime] = deque(maxlen=calling.most)
        self._alone: dict[Key, Standing] = {}
        self._failures = 0
        self._rests_until: datetime | None = None

    async def call(self, rows: Mapping[Key, Standing], alone: Mapping[Key, Standing]) -> None:
        """What the book says is due; then what no row tells."""
        now, name = self._clock.now(), self._way.name
        for key in self._alone.keys() & rows.keys():
            # It was told while the database was away, and is a row now: the book is to know.
            call = Call(*key, rows[key].since, rows[key].evidence)
            if await self._book.take(name, call, now):
                await self._book.made(name, call, now)
            del self._alone[key]
        found = due(rows, await self._book.told(name), now)
        await self._book.forget(name, found.forget)
        if self._rests():
            return
        calls = {(call.kind, call.subject): call for call in found.calls}
        for call in gather(found.calls, self._made, self._most, now):
            together = [call, *(calls[key] for key in call.more)]
            taken = [one for one in together if await self._book.take(name, one, now)]
            if call not in taken:
                continue
            error = await self._tell(call)
            for one in taken:
                if error:
                    await self._book.failed(name, one, self._clock.now() + pause(self._failures))
                else:
                    await self._book.made(name, one, self._clock.now())
        await self.call_alone(alone)

    async def call_alone(self, alone: Mapping[Key, Standing]) -> None:
        """What stands in memory only: told once, and its end."""
        for key in alone.keys() - self._alone.keys():
            if not self._rests() and not await self._tell(Call(*key, alone[key].since, alone[key].evidence)):
                self._alone[key] = alone[key]
        for key in self._alone.keys() - alone.keys():
            told = self._alone[key]
            if not self._rests() and not await self._tell(Call(*key, told.since, told.evidence, self._clock.now())):
                del self._alone[key]

    def _rests(self) -> bool:
        until = self._rests_until
        return until is not None and not has_come(until, self._clock.now(), LONGEST_PAUSE)

    async def _tell(self, call: Call) -> str:
        error = await self._way.tell(Told(self._node, call))
        now = self._clock.now()
        if error:
            self._failures += 1
            self._rests_until = now + pause(self._failures)
            _log.warning("call-failed", way=self._way.name, kind=call.kind, error=error, failures=self._failures)
        else:
            self._failures, self._rests_until = 0, None
            self._made.append(now)
            _log.info("called", way=self._way.name, kind=call.kind, ended=call.ended is not None)
        return error
