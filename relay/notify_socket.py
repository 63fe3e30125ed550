"""The notify socket: what a service manager such as systemd is told of the node, and the sign of life it waits for.

The process that the manager started speaks: the supervisor, or the only worker. Nothing happens where no manager
listens, and a manager that does not read holds up mail for a moment at most, at a start, a reload or the end: what
cannot be sent is dropped. Protocol: sd_notify(3).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self

ENVIRONMENT: Final = "NOTIFY_SOCKET"
_WATCHDOG_TIME: Final = "WATCHDOG_USEC"
_WATCHDOG_PROCESS: Final = "WATCHDOG_PID"
PATIENCE_SECONDS: Final = 1.0
"""How long a word that is said once waits for a manager whose queue is full (ten messages on many systems)."""
OURS_ALONE: Final = (ENVIRONMENT, _WATCHDOG_TIME, _WATCHDOG_PROCESS)
"""What a child must not inherit: it would speak for us."""


class NotifySocket:
    """One process's line to its manager."""

    def __init__(self, address: str, watchdog_seconds: float) -> None:
        """`address` as in NOTIFY_SOCKET, "" = nobody listens; `watchdog_seconds` = 0: no sign of life is wanted."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog = watchdog_seconds
        self._status = ""
        self._ready = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """From a process's environment; what is no address or no time there counts as absent."""
        address = environment.get(ENVIRONMENT, "")
        time, process = environment.get(_WATCHDOG_TIME, ""), environment.get(_WATCHDOG_PROCESS, "")
        ours = process in ("", str(os.getpid()))
        seconds = int(time) / 1e6 if time.isascii() and time.isdecimal() and ours else 0.0
        return cls(address if address[:1] in ("/", "@") else "", seconds)

    def ready(self) -> None:
        """The doors are open; more than the first word of it is not sent."""
        if not self._ready:
            self._ready = True
            self._send("READY=1", PATIENCE_SECONDS)

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows, whatever came of it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={_monotonic_microseconds()}", PATIENCE_SECONDS)

    def reloaded(self) -> None:
        """The end of `reloading`: as ready as before it."""
        if self._ready:
            self._send("READY=1", PATIENCE_SECONDS)

    def stopping(self) -> None:
        """The node drains and ends."""
        self._send("STOPPING=1", PATIENCE_SECONDS)

    def status(self, text: str) -> None:
        """A line for people, in `systemctl status`; the same line is not sent twice."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    async def keep_alive(self) -> None:
        """Say that this process's loop runs, twice within the time the manager allows, until cancelled."""
        while self._address and self._watchdog:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self._watchdog / 2)

    def _send(self, message: str, patience: float = 0.0) -> None:
        """A sign of life or a status comes again: it waits for nothing when the manager's queue is full."""
        if not self._address:
            return
        with (
            suppress(OSError),  # the manager is gone or does not read: mail goes on all the same
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line,
        ):
            line.settimeout(patience)
            line.sendto(message.encode(), self._address)


def _monotonic_microseconds() -> int:
    import time

    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
