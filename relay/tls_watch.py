"""Certificates that an ACME client renews are used without a restart: each worker looks at the files of its doors.

Stands between the node and its doors. A pair that does not fit together leaves the old one in use: a client writes two
files, one after the other, so only what is still wrong at the next look is told, by an alarm that ends by itself.
What OpenSSL remembers of clients goes with the context that did: so its memory has a bound.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.engine.alarms import Alarms
from relay.errors import ConfigurationError
from relay.log import Log
from relay.policy.alarms import AlarmKind
from relay.settings import Settings, TlsFiles
from relay.tls_files import server_context

EVERY_SECONDS: Final = 60.0
MOST_SESSIONS: Final = 2000
"""Sessions kept by a context above which it is replaced: OpenSSL would keep 20,480 for two hours, 1.1 kB each."""
_log = Log("tls")

Marks = tuple[tuple[int, int, int, int] | None, ...]
"""Of each file behind its links: device, inode, size and time of change; None where there is none."""


@dataclass(slots=True)
class WatchedDoor:
    """A door, its files, and how it takes a new context; `marks` are those of the pair last tried."""

    setting: str
    files: TlsFiles
    use: Callable[[ssl.SSLContext], None]
    sessions: Callable[[], int]
    """How many TLS sessions the context in use keeps."""
    marks: Marks = ()
    trouble: str = ""
    """What was wrong with the files at the last look."""


class TlsWatch:
    """The doors of one worker. `alarms` is None on all workers but the first: one row a door is enough."""

    def __init__(self, settings: Settings, doors: Sequence[WatchedDoor], alarms: Alarms | None) -> None:
        """Made before the doors load their files, so that nothing that changes after it is missed."""
        self._settings = settings
        self._doors = doors
        self._alarms = alarms
        self._task: asyncio.Task[None] | None = None
        for door in doors:
            door.marks = self._marks(door)

    def start(self) -> None:
        """Look every minute."""
        if self._doors:
            self._task = asyncio.create_task(self._run(), name="tls-watch")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def follow(self, settings: Settings) -> None:
        """From now on these files, which a reload has just taken over."""
        self._settings = settings
        wanted = {"submission.tls": settings.submission.tls, "inbound.tls": settings.inbound.tls}
        for door in self._doors:
            door.files = wanted[door.setting] or door.files

    async def look(self) -> None:
        """Take over what has changed and fits together, or a new context where the old one keeps too many sessions."""
        for door in self._doors:
            marks = self._marks(door)
            if marks == door.marks and not door.trouble and door.sessions() <= MOST_SESSIONS:
                await self._tell(door, "")
                continue
            before, door.marks = door.marks, marks
            try:
                door.use(server_context(self._settings, door.files, door.setting))
            except ConfigurationError as error:
                first = not door.trouble
                door.trouble = str(error)
                _log.warning("certificate-refused", setting=door.setting, error=error, again=not first)
                if not first:
                    await self._tell(door, door.trouble)
                continue
            door.trouble = ""
            if marks != before:
                _log.info("certificate-taken-over", setting=door.setting)
            await self._tell(door, "")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - the watch outlives whatever one look meets
                _log.exception("look-failed", look="certificates")

    async def _tell(self, door: WatchedDoor, trouble: str) -> None:
        """Let the alarm follow; one that stood before this life ends at the first look that finds nothing."""
        if self._alarms is None:
            return
        subject = f"{self._settings.node.name}: {door.setting}"
        if trouble:
            await self._alarms.start(AlarmKind.CERTIFICATE_FILES, subject, f"{trouble}; the former one is still used")
        else:
            await self._alarms.end(AlarmKind.CERTIFICATE_FILES, subject)

    def _marks(self, door: WatchedDoor) -> Marks:
        return tuple(_mark(self._settings.path(file)) for file in (door.files.certificate, door.files.key))


def _mark(file: Path) -> tuple[int, int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
