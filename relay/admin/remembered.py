"""A costly answer that is given again for a while, so that nobody who reloads a page makes the database work harder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from relay.clock import Clock

T = TypeVar("T")

SHORTEST: Final = 2.0
"""Seconds for which an answer is good at least."""

REST: Final = 10.0
"""An answer is good for so many times what it took: at most an eleventh of the time goes into asking."""


class Remembered(Generic[T]):
    """Asks `read` when its last answer is too old; who comes meanwhile waits for the same answer."""

    def __init__(self, read: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._asking = asyncio.Lock()
        self._answer: T | None = None
        self._good_until = -1.0

    async def get(self) -> T:
        """The answer. Raises what `read` raises; that is not remembered."""
        async with self._asking:
            if self._answer is None or self._clock.monotonic() >= self._good_until:
                began = self._clock.monotonic()
                self._answer = await self._read()
                ended = self._clock.monotonic()
                self._good_until = ended + max(SHORTEST, REST * (ended - began))
            return self._answer
