"""Tasks with an owner: none is forgotten, none fails unheard, all end when their owner does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from relay.log import Log

_log = Log("engine")


class OwnedTasks:
    """The running tasks of one part."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work`; an exception it lets out is logged."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task-failed", task=task.get_name(), error=repr(error))

    async def end(self, seconds: float) -> None:
        """Wait up to `seconds` for all of them, those they start meanwhile too, and cancel what is left."""
        try:
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            _log.warning("cut-short", tasks=len(self._tasks))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
