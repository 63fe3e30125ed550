"""Patience: how much longer a silent or slow client is waited for (S25, F15, C08).

An account of seconds. A complete command fills it; while content arrives, time drains it and every 500
octets earn one second back, so a phone at 1 kB/s finishes and a client at one octet a second does not. When
the memory for content runs short, time drains faster: who sends nothing gives the room back sooner.
While the relay works, the client's time stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.clock import Clock
from relay.submission.options import MINIMUM_RATE

_COARSE = 0.05
"""Seconds; the timer looks no more often than this."""
_ATTENTIVE = 5.0
"""Seconds; while content is held it looks this often, since memory may have run short."""


class Patience:
    """Starts full at `limit` seconds; times are monotonic seconds."""

    __slots__ = ("_at", "_left", "_limit")

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._left = limit
        self._at = now

    def refill(self, now: float) -> None:
        """The client did what it should: the full time again."""
        self._left = self._limit
        self._at = now

    def earn(self, octets: int, now: float, pressure: float = 1.0) -> None:
        """`octets` of content arrived since the last call, and each second of it counts `pressure` times."""
        self._left = min(self._limit, self._left - pressure * (now - self._at) + octets / MINIMUM_RATE)
        self._at = now

    def left(self, now: float) -> float:
        """Seconds until the client has used it up; zero or less: close."""
        return self._left - (now - self._at)


class ClientTimer:
    """The one timer of a session: moved often, re-armed seldom. `expired` is called once, at the end.

    `buffered` tells how many octets the session has received and not yet read; `pressure`, how much faster the time
    of content runs just now.
    """

    __slots__ = (
        *("_buffered", "_clock", "_counted", "_expired", "_handle", "_loop", "_patience", "_pressure"),
        *("_taken", "_working"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        limit: float,
        expired: Callable[[], None],
        pressure: Callable[[], float],
    ) -> None:
        self._pressure = pressure
        self._loop = loop
        self._clock = clock
        self._expired = expired
        self._patience = Patience(limit, clock.monotonic())
        self._working = False
        self._taken: int | None = None
        self._counted = 0
        self._buffered: Callable[[], int] = int
        self._handle = loop.call_later(limit, self._look)

    @property
    def working(self) -> bool:
        """Whether the client waits for the relay rather than the other way round."""
        return self._working

    @property
    def phase(self) -> str:
        """What is waited for: "work", "content" or "command"."""
        return "work" if self._working else "command" if self._taken is None else "content"

    def refill(self) -> None:
        """A command has come in whole."""
        self._patience.refill(self._clock.monotonic())

    def begin_work(self) -> None:
        """From here the client waits for the relay."""
        self._working = True

    def end_work(self) -> None:
        """From here the relay waits for the client again."""
        self._working = False
        self.refill()

    def begin_content(self, buffered: Callable[[], int]) -> None:
        """Content follows: time runs by its octets."""
        self._buffered = buffered
        self._taken = self._counted = 0
        self.refill()

    def progress(self, taken: int) -> None:
        """`taken` octets of the content have been read so far, and are held in memory: from here on look often."""
        if not self._taken:
            self._handle.cancel()
            self._handle = self._loop.call_later(_ATTENTIVE, self._look)
        self._taken = taken

    def end_content(self) -> None:
        """The content is over: commands follow."""
        self._taken = None
        self._buffered = int
        self.refill()

    def expire_in(self, seconds: float) -> None:
        """Forget patience: `expired` in `seconds`, whatever happens."""
        self._handle.cancel()
        self._handle = self._loop.call_later(seconds, self._expired)

    def cancel(self) -> None:
        """The session is over."""
        self._handle.cancel()

    def _look(self) -> None:
        now = self._clock.monotonic()
        if self._working:
            self._patience.refill(now)
        elif self._taken is not None:
            seen = self._taken + self._buffered()
            self._patience.earn(seen - self._counted, now, self._pressure())
            self._counted = seen
        left = self._patience.left(now)
        if left > 0:
            wait = min(left, _ATTENTIVE) if self._taken else left
            self._handle = self._loop.call_later(max(wait, _COARSE), self._look)
        else:
            self._expired()
