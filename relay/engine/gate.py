"""The gate of a path: gives permits to messages as its rate allows, one after the other, right before they begin.

Stands between a session that is ready and the transaction on it. A path whose far side never refused for "too many" is
not slowed at all, and costs a few counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from relay.clock import Clock
from relay.policy.rate import Rate, Stage

LEAD: Final = 1.0
"""Seconds before a permit is due at which a session is opened for it."""

LONG: Final = 30.0
"""Seconds of a pause for which mail in hand goes back to the spool."""

SLACK: Final = 0.02
"""Seconds by which a message may be late and the next still be on time."""

ASKING_SECONDS: Final = 60.0
"""How long at most until one looks again whether the message that asks for all was answered."""

STOCK_SECONDS: Final = 20.0
"""A limited path has so many seconds of mail in hand."""


class NoPermitError(Exception):
    """The path gives no permit for a long time, or none any more: the mail goes back, untried."""


class Permit:
    """The right of one message to begin: taken once, right before MAIL, and answered once.

    `may_finish` is asked right before content and final dot: whether nobody recalled the message meanwhile.
    """

    def __init__(self, gate: Gate, may_finish: Callable[[], bool] = lambda: True) -> None:
        self._gate = gate
        self.may_finish = may_finish
        self._begun: float | None = None
        self._expected = True
        gate.expected += 1

    async def take(self) -> None:
        """Wait for it; once taken it is good for another host of the same attempt too. Raises NoPermitError."""
        if self._begun is None:
            self._begun = await self._gate.permit()
            self._came()

    def _came(self) -> None:
        """The gate need not expect it any more."""
        self._gate.expected -= self._expected
        self._expected = False

    async def connect(self) -> None:
        """Wait for the right to open a session. Raises NoPermitError."""
        await self._gate.connect()

    def answered(self, *, refused: bool, reached: bool) -> None:
        """What came of the message: refused as too much, reached a host that did not say so, or neither."""
        self._came()
        if self._begun is None:
            return
        if refused:
            self._gate.refused(self._begun)
        elif reached:
            self._gate.accepted(self._begun)
        else:
            self._gate.ended(self._begun)
        self._begun = None


class Gate:
    """The keeper of one path's permits."""

    def __init__(self, clock: Clock, rate: Rate | None = None) -> None:
        self.rate = rate or Rate()
        self.cap: float | None = None
        """Messages a second that the rules allow."""
        self.connects: float | None = None
        """Sessions a second that they allow to be opened."""
        self._next_message = 0.0
        self._next_connect = 0.0
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting = 0
        self.expected = 0
        """Permits that somebody is on the way to take, or waits for."""
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def limits(self) -> bool:
        """Whether anything is known to limit the path."""
        return self.rate.stage is not Stage.OPEN or self.cap is not None

    def cap_at(self, messages: float | None, connects: float | None) -> None:
        """Allow so many messages and sessions a minute, None without a limit."""
        self.cap = None if messages is None else messages / 60
        self.connects = None if connects is None else connects / 60

    async def connect(self) -> None:
        """Wait for the right to open a session. Raises NoPermitError rather than wait long."""
        if self.connects is None:
            return
        now = self._clock.monotonic()
        at = max(now, self._next_connect)
        if at - now > LONG:
            raise NoPermitError
        self._next_connect = at + 1 / self.connects
        if at > now:
            await asyncio.sleep(at - now)

    def wait(self, ahead: int = 0) -> float:
        """Seconds that one more message would wait for its permit; infinity while one asks for all.

        `ahead` sessions are being opened whose messages will ask first. Who would wait longer than a far side keeps an
        idle session is better off opening one later.
        """
        rate = self.rate
        if rate.stage is Stage.OPEN and self.cap is None:
            return 0.0
        now = self._clock.monotonic()
        first = self._free_at(now) - now
        ahead += max(self._waiting, self.expected)
        if rate.stage is Stage.CLOSED:
            return inf if ahead else first
        return first + ahead / self._per_second()

    def _per_second(self) -> float:
        return self.rate.per_second if self.cap is None else min(self.rate.per_second, self.cap)

    def _free_at(self, now: float) -> float:
        free = self.rate.free_at(now)
        return free if self.cap is None else max(free, self._next_message)

    def stock(self, most: int) -> int:
        """How many parcels may stand in line, `most` at most: none while the path is closed for long."""
        rate = self.rate
        match rate.stage:
            case Stage.OPEN if self.cap is None:
                return most
            case Stage.CLOSED:
                return 1 if self.wait() <= LEAD else 0
            case _:
                return min(most, 2 + int(STOCK_SECONDS * self._per_second()))

    async def permit(self) -> float:
        """Wait for a permit; the moment it was given. Raises NoPermitError rather than wait long."""
        if self.rate.stage is Stage.OPEN and self.cap is None and not self._waiting:
            return self._clock.monotonic()
        self._waiting += 1
        try:
            async with self._turn:
                return await self._next()
        finally:
            self._waiting -= 1

    async def _next(self) -> float:
        while not self._closed:
            now = self._clock.monotonic()
            wait = self._free_at(now) - now
            if LONG < wait < inf:
                break
            if wait <= 0:
                self.rate.begins(now)
                if self.cap is not None:
                    self._next_message = max(self._next_message, now - SLACK) + 1 / self.cap
                return now
            self._changed.clear()
            try:
                async with asyncio.timeout(min(wait, ASKING_SECONDS)):
                    await self._changed.wait()
            except TimeoutError:
                pass
        raise NoPermitError

    def accepted(self, begun: float) -> None:
        """The message that began at `begun` was not refused as too much."""
        self.rate.accepted(begun, self._clock.monotonic())
        self._changed.set()

    def refused(self, begun: float) -> None:
        """The message that began at `begun` was."""
        self.rate.refused(begun, self._clock.monotonic())
        self._changed.set()

    def ended(self, begun: float) -> None:
        """The message that began at `begun` ended without telling anything of the rate."""
        self.rate.ended(begun)
        self._changed.set()

    def close(self) -> None:
        """No permit is given any more."""
        self._closed = True
        self._changed.set()
