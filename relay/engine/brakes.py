"""Brakes on the path: mail of a stopped stream waits, that of a slowed one goes at its pace; other mail passes.

Waiting is a new due time and no attempt. What each process knows is a few seconds old at most; a brake ends by
command alone, and then the mail goes on within minutes, or within an hour if it had stood for long.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final

from relay.clock import Clock
from relay.engine.alarms import Alarms
from relay.errors import SpoolUnavailableError
from relay.figures.book import FigureBook
from relay.figures.brakes import EVERY_STREAM, Brake
from relay.log import Log
from relay.policy.alarms import AlarmKind
from relay.policy.complaints import BrakeRules, Level
from relay.spool.work import Door, Parcel

_log = Log("brake")

ALARM: Final = AlarmKind.COMPLAINTS
LOOK_SECONDS: Final = 5.0
STOPPED_FOR: Final = timedelta(minutes=10)
"""How long mail of a stopped stream waits until it is looked at again, at first.

Then a quarter of the time that the brake has stood, up to `LONGEST`: a person ends it, and who took a day for it can
wait an hour more, while a long queue that is looked at in vain costs everybody.
"""

LONGEST: Final = timedelta(hours=1)


class _Pace:
    """One slowed stream: so many a minute, and a wait that grows with those before us."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._seconds = 60.0 / max(per_minute, 0.01)
        self._next = now
        self._behind = 0

    def wait(self, now: float) -> float:
        """Seconds to wait, 0 to go now."""
        if now >= self._next:
            self._next = max(self._next, now - 60.0) + self._seconds
            self._behind = max(0, self._behind - 1)
            return 0.0
        self._behind += 1
        return self._behind * self._seconds


class Brakes:
    """Owns one task. `share` is this worker's part of a slowed stream's pace."""

    def __init__(self, figures: FigureBook, alarms: Alarms, rules: BrakeRules, clock: Clock, share: float) -> None:
        self._figures = figures
        self._alarms = alarms
        self._rules = rules
        self._clock = clock
        self._share = share
        self._standing: dict[tuple[int, str], Brake] = {}
        self._paces: dict[tuple[int, str], _Pace] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learn what stands, and begin to look. Raises SpoolUnavailableError."""
        await self.look()
        self._task = asyncio.create_task(self._run(), name="brakes")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except SpoolUnavailableError as error:
                _log.warning("brakes-unread", error=error)
            except Exception:  # noqa: BLE001 - one look must not end the looking
                _log.exception("brakes-broken")

    async def look(self) -> None:
        """Read what stands now, and let the alarms follow."""
        found = {(one.tenant, one.stream): one for one in await self._figures.brakes()}
        for key in found.keys() - self._standing.keys():
            await self._alarms.start(ALARM, found[key].subject, str(found[key]))
        for key in self._standing.keys() - found.keys():
            await self._alarms.end(ALARM, self._standing[key].subject)
            self._paces.pop(key, None)
        self._standing = found

    def until(self, parcel: Parcel) -> tuple[datetime, Brake] | None:
        """Until when a parcel has to wait, and for which brake; None if it may go."""
        if not self._standing or parcel.door is Door.NOTICE:
            return None
        for key in ((parcel.tenant, parcel.stream), (parcel.tenant, EVERY_STREAM)):
            brake = self._standing.get(key)
            if brake is None:
                continue
            if brake.level is Level.STOP:
                moment = self._clock.now()
                return moment + min(max(STOPPED_FOR, (moment - brake.since) / 4), LONGEST), brake
            now = self._clock.monotonic()
            pace = self._paces.setdefault(key, _Pace(self._rules.per_minute * self._share, now))
            if wait := pace.wait(now):
                return self._clock.now() + min(timedelta(seconds=wait), LONGEST), brake
        return None
