"""The watch: looks at this and that from time to time, and lets the alarms follow what was seen.

Each look has a pace and a task of its own, so that a slow one delays no other. What is wrong raises an alarm, what is
right ends it, and what could not be found out leaves it as it is. A look that asks strangers is believed only when it
sees the same twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from relay.engine.alarms import Alarms
from relay.log import Log
from relay.policy.trouble import Seen

AGAIN_SECONDS: Final = 300.0
_log = Log("watch")


@dataclass(frozen=True, slots=True)
class Look:
    """Something to look at: every `every` seconds, for the first time after `first`, for `timeout` at most."""

    name: str
    see: Callable[[], Awaitable[Sequence[Seen]]]
    every: float
    first: float
    timeout: float = 60.0
    twice: bool = False
    """Whether what is wrong is looked at again, five minutes later, before anybody is told."""
    whole: bool = False
    """Whether what it did not see this time, of the kinds it did see, is gone."""


class Watch:
    """Owns a task for each look. `node` stands before the subjects of looks that are about this node alone."""

    def __init__(self, alarms: Alarms, looks: Sequence[Look], node: str) -> None:
        self._alarms = alarms
        self._looks = looks
        self._node = node
        self._suspected: set[tuple[str, str]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look."""
        self._tasks = [asyncio.create_task(self._run(look), name=f"watch {look.name}") for look in self._looks]

    async def stop(self) -> None:
        """End all looks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def look(self, look: Look) -> bool:
        """Look once, and let the alarms follow; whether something is to be looked at again soon."""
        async with asyncio.timeout(look.timeout):
            seen = await look.see()
        doubted = False
        for one in seen:
            subject = self._named(look, one)
            key = (one.kind.value, subject)
            if one.wrong is None:
                continue
            if not one.wrong:
                self._suspected.discard(key)
                await self._alarms.end(one.kind, subject)
            elif look.twice and key not in self._suspected and subject not in self._alarms.standing(one.kind):
                self._suspected.add(key)
                doubted = True
            else:
                self._suspected.discard(key)
                await self._alarms.start(one.kind, subject, one.evidence)
        if look.whole:
            await self._end_others(look, seen)
        return doubted

    async def _end_others(self, look: Look, seen: Sequence[Seen]) -> None:
        """What no setting speaks of any more alarms nobody."""
        unknown = {one.kind for one in seen if one.wrong is None}
        known = {self._named(look, one) for one in seen}
        for kind in {one.kind for one in seen} - unknown:
            for subject in self._alarms.standing(kind):
                if subject.startswith(f"{self._node}: ") and subject not in known:
                    await self._alarms.end(kind, subject)

    def _named(self, look: Look, one: Seen) -> str:
        """A look at the whole machine is this node's; figures and queue are everybody's."""
        return f"{self._node}: {one.subject}" if look.whole else one.subject

    async def _run(self, look: Look) -> None:
        await asyncio.sleep(look.first)
        while True:
            again = False
            try:
                again = await self.look(look)
            except Exception:  # noqa: BLE001 - the watch outlives whatever one look meets
                _log.exception("look-failed", look=look.name)
            await asyncio.sleep(min(AGAIN_SECONDS, look.every) if again else look.every)
