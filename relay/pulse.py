"""The pulse: a pipe by which a supervisor learns that a worker's loop runs, and that it has started.

A worker whose loop stands still (a call that never returns, a process that was stopped) takes no mail, sends none and
answers nobody, while the kernel goes on to accept connections for it. Nobody else would end it.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
from contextlib import suppress
from enum import Enum
from typing import Final

ENVIRONMENT: Final = "LEAK_PULSE"
"""The descriptor of the pipe's write end; its read end is the supervisor's."""

BEAT_SECONDS: Final = 1.0
WITNESS: Final = signal.SIGUSR2
"""At this signal a worker writes to its log where each of its threads stands."""

_BUFFER: Final = 4096


class Sign(Enum):
    """What was heard of a worker since it was last listened to."""

    SILENCE = b""
    STARTING = b"s"
    WORKING = b"w"


class Pulse:
    """The worker's side. `run` is a task of the worker's loop; nothing happens without a supervisor."""

    def __init__(self) -> None:
        descriptor = os.environ.get(ENVIRONMENT)
        self._descriptor = int(descriptor) if descriptor else None
        self._sign = Sign.STARTING

    def works(self) -> None:
        """From now on doors are open."""
        self._sign = Sign.WORKING
        self._beat()

    async def run(self) -> None:
        """Beat until cancelled."""
        if self._descriptor is None:
            return
        os.set_blocking(self._descriptor, False)
        faulthandler.register(WITNESS, all_threads=True)
        while True:
            self._beat()
            await asyncio.sleep(BEAT_SECONDS)

    def _beat(self) -> None:
        if self._descriptor is not None:
            with suppress(OSError):  # full: the supervisor stands still; closed: it is gone, which the lifeline tells
                os.write(self._descriptor, self._sign.value)


def listen(descriptor: int) -> Sign:
    """The supervisor's side: the newest sign in a pipe that does not block."""
    heard = b""
    with suppress(BlockingIOError):
        while octets := os.read(descriptor, _BUFFER):
            heard = octets
    return Sign(heard[-1:])
