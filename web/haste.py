"""No answer by its haste: how soon a page comes must not tell what its words keep to themselves.

Beside the pages that mail a question to an address: who has had many gets none, and the page takes as long as mailing
one took lately, or whoever types somebody's address would learn that it was typed here today. And beside a letter's
page: what is looked up for one that is withheld is more than for another, so all of them come at the end of a step.
"""

from __future__ import annotations

from asyncio import sleep
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.ids import Entropy

_REMEMBERED: Final = 32
_AT_FIRST: Final = 0.05
"""Seconds, about two commits, while nothing was measured."""
_LONGEST: Final = 5.0


class Haste:
    """Remembers how long the work took lately, and waits as long."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy
        self._lately: deque[float] = deque(maxlen=_REMEMBERED)

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Around the work; what fails is not measured."""
        begun = self._clock.monotonic()
        yield
        self._lately.append(self._clock.monotonic() - begun)

    async def wait(self) -> None:
        """As long as one of the last took, drawn by lot."""
        await sleep(self.draw())

    def draw(self) -> float:
        """Seconds."""
        if not self._lately:
            return _AT_FIRST
        return min(_LONGEST, self._lately[int(self._entropy.uniform() * len(self._lately))])


@asynccontextmanager
async def in_steps(clock: Clock, step: timedelta) -> AsyncIterator[None]:
    """Around an answer: it comes at the end of a whole number of steps, zero for no steps; an error comes at once."""
    begun = clock.monotonic()
    yield
    if seconds := step.total_seconds():
        await sleep(seconds - (clock.monotonic() - begun) % seconds)
