"""The loop of simulated time: nothing waits for anything; when nobody is ready, the time of the next timer has come.

Every process of the simulation is a `Life`, named by a context variable that its tasks inherit. So a life can be
ended like a killed process, and stopped and continued like a paused one, while the rest of the world goes on.
Guarantees: no thread runs (work for executors is done at once), no order depends on an address in memory, so one
seed gives one history.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Final, TypeVar

T = TypeVar("T")

LIFE: Final[contextvars.ContextVar[Life | None]] = contextvars.ContextVar("life", default=None)
"""The life to which the running code belongs; None is the world outside."""

WORLD: Final = contextvars.Context()
"""The context of what happens outside every process: networks, providers, users."""


class StuckError(Exception):
    """Nobody is ready and no timer is set: the simulation would wait for ever."""


class Life:
    """One run of one process, from its start to its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.killed = False
        self.left_unsettled = False
        """It stopped while the spool could not be written: what it knew is lost, as by a crash."""
        self.pauses: list[float] = []
        self.tasks: set[asyncio.Task[Any]] = set()
        self.sockets: dict[object, Callable[[], None]] = {}
        """What the system closes when the process is killed."""
        self.context = contextvars.copy_context()
        self.context.run(LIFE.set, self)

    def __repr__(self) -> str:
        return f"<Life {self.name}{'' if self.alive else ' (ended)'}>"


class NumberedTask(asyncio.Task[T]):
    """A task whose hash is its number, so that sets of tasks have the same order in every run."""

    _numbers = count(1)

    def __init__(self, coroutine: Coroutine[Any, Any, T], **options: Any) -> None:
        self._number = next(self._numbers)
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without sockets and without waiting."""

    # What BaseEventLoop keeps and its stubs do not show.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._clock_resolution = 1e-6
        self._selector = self
        self._frozen: dict[Life, tuple[list[asyncio.Handle], list[asyncio.TimerHandle]]] = {}
        self.set_task_factory(_make_task)  # type: ignore[arg-type]

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """What the loop calls to wait: the time moves instead."""
        if timeout is None:
            raise StuckError("nobody is ready and no timer is set")
        self._now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Do the work at once: there are no threads here."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # the waiter gets it, as from a thread
            future.set_exception(error)
        return future

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        if self._frozen:
            life = LIFE.get() if context is None else context.get(LIFE)
            if life in self._frozen:
                handle = asyncio.Handle(callback, args, self, context)
                self._frozen[life][0].append(handle)
                return handle
        return super().call_soon(callback, *args, context=context)

    def freeze(self, life: Life) -> None:
        """Stop a life where it stands: none of its callbacks runs until `thaw`."""
        if life in self._frozen:
            return
        life.pauses.append(self._now)
        ready = [handle for handle in self._ready if _life_of(handle) is life]
        timers = [handle for handle in self._scheduled if _life_of(handle) is life]
        # The loop counted its round before: what is taken out leaves something cancelled in its place.
        blank = asyncio.Handle(_nothing, (), self)
        blank.cancel()
        self._ready = deque(blank if _life_of(handle) is life else handle for handle in self._ready)
        self._scheduled = [handle for handle in self._scheduled if _life_of(handle) is not life]
        heapq.heapify(self._scheduled)
        for timer in timers:
            timer._scheduled = False  # type: ignore[attr-defined]
        self._frozen[life] = (ready, sorted(timers))

    def thaw(self, life: Life) -> None:
        """Let a stopped life go on; timers whose time has passed come at once."""
        ready, timers = self._frozen.pop(life, ((), ()))
        self._ready.extend(ready)
        for timer in timers:
            timer._scheduled = True  # type: ignore[attr-defined]
            heapq.heappush(self._scheduled, timer)

    def kill(self, life: Life) -> None:
        """End a life as a kill does: what it still tries has no effect (see `Life.alive`), and its tasks end."""
        life.alive = False
        life.killed = True
        self.thaw(life)
        for task in sorted(life.tasks, key=hash):
            task.cancel()
        for close in list(life.sockets.values()):
            close()


def _nothing() -> None: ...


def _life_of(handle: asyncio.Handle) -> Life | None:
    context: contextvars.Context = handle._context  # type: ignore[attr-defined]
    return context.get(LIFE)


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **options: Any) -> NumberedTask[T]:
    context: contextvars.Context | None = options.get("context")
    life = LIFE.get() if context is None else context.get(LIFE)
    task = NumberedTask(coroutine, loop=loop, **options)
    if life is not None:
        life.tasks.add(task)
        task.add_done_callback(life.tasks.discard)
        if not life.alive:
            task.cancel()
    return task
