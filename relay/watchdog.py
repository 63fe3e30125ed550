"""The watchdog: one life of a worker, listened to; ended when nothing is heard of it.

Time is counted in looks, not by a clock: what the supervisor itself slept through, on a machine that was suspended or a
process group that was stopped, counts for nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final

from relay.log import Log
from relay.pulse import BEAT_SECONDS, WITNESS, Sign, listen

_log = Log("supervisor")

LOADING: Final = 5
"""How many times as long a worker may be silent before it was first heard of: it loads its modules."""
_WITNESS_SECONDS: Final = 1.0


class Watchdog:
    """Of one process. `patience` in seconds, 0 = for ever; `works` is called once when its doors are open."""

    def __init__(self, pulse: int, patience: float, works: Callable[[], Awaitable[None]]) -> None:
        self._pulse = pulse
        self._patience = patience
        self._works = works
        self._working = False
        self.gave_up = False
        """Whether it had to end the process."""

    @property
    def has_worked(self) -> bool:
        """Whether its doors were open at any time; ask when the process has ended, too."""
        return self._working or listen(self._pulse) is Sign.WORKING

    async def watch(self, worker: int, process: asyncio.subprocess.Process) -> None:
        """Listen until cancelled, or until the process had to be killed."""
        silent, patience = 0.0, self._patience * LOADING
        while True:
            sign = listen(self._pulse)
            if sign is Sign.WORKING and not self._working:
                self._working = True
                await self._works()
            if sign is Sign.SILENCE:
                silent += BEAT_SECONDS
            else:
                silent, patience = 0.0, self._patience
            if self._patience and silent > patience:
                await self._kill(worker, process, silent)
                return
            await asyncio.sleep(BEAT_SECONDS)

    async def _kill(self, worker: int, process: asyncio.subprocess.Process, silent: float) -> None:
        """Ask it to write down where it stands, for whoever looks for the cause, and end it."""
        self.gave_up = True
        _log.error("worker-hangs", worker=worker, pid=process.pid, silent=silent)
        if process.returncode is None:
            process.send_signal(WITNESS)
            await asyncio.sleep(_WITNESS_SECONDS)
        if process.returncode is None:
            process.kill()


def open_pulse() -> tuple[int, int]:
    """A pipe: the end to listen at, which does not block, and the one to pass on."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    return ours, theirs
