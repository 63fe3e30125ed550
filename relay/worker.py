"""A worker process: one node on one event loop, from its start to its last settlement.

Under a supervisor the sockets come as inherited descriptors, and `relay.lifeline` ends the worker when the
supervisor is gone; alone, the worker binds its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, assert_never

from relay import garbage
from relay.assignment import ANEW_STATUS, REPLACED_STATUS, Assignment
from relay.clock import SystemClock
from relay.descriptors import raise_limit
from relay.errors import ConfigurationError, LeakError
from relay.front_node import FrontNode
from relay.fronting import Front
from relay.ids import SystemEntropy
from relay.listeners import Listener
from relay.log import Log, configure_logging
from relay.node import Node, NodeParts
from relay.notify_socket import NotifySocket
from relay.pulse import Pulse
from relay.settings import Settings, load_settings
from relay.settings_effect import warn_without_effect
from relay.spool.life import Ending
from relay.wary_clock import WaryClock

_log = Log("worker")

M_MMAP_THRESHOLD: Final = -3
"""As <malloc.h> has it."""
LARGE_BLOCK: Final = 1 << 20


def loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where it is wanted and installed."""
    if not settings.node.uvloop:
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def run_worker(file: Path, settings: Settings, assignment: Assignment, listeners: list[Listener], front: Front) -> int:
    """Run one node until it is told to stop; the exit status."""
    configure_logging(settings.log.level, settings.log.format)
    raise_limit()
    if assignment.worker == 0:
        warn_without_effect(settings, _log)
    with asyncio.Runner(loop_factory=loop_factory(settings)) as runner:
        return runner.run(_live(file, settings, assignment, listeners, front))


async def _live(file: Path, settings: Settings, assignment: Assignment, listeners: list[Listener], front: Front) -> int:
    clock, entropy, pulse = WaryClock(SystemClock()), SystemEntropy(), Pulse()
    beating = asyncio.create_task(pulse.run(), name="pulse")
    manager = NotifySocket.of(os.environ)  # silent under a supervisor, which speaks for all
    alive = asyncio.create_task(manager.keep_alive(), name="manager")
    parts = NodeParts(
        assignment.worker,
        assignment.workers,
        listeners,
        clock,
        entropy,
        front,
        restarts=assignment.restarts,
        fell=assignment.fell,
    )
    try:
        node = FrontNode(settings, parts) if settings.web.relay.url else Node(settings, parts)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, node.stop_asked.set)
        reloader = Reloader(file, node, manager)
        loop.add_signal_handler(signal.SIGHUP, reloader.ask)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # the supervisor had us start with it blocked
        try:
            await node.start()
            pulse.works()
            manager.ready()
            garbage.settle()
            _give_large_blocks_back()
            reloader.begin()
            await node.stop_asked.wait()
            await reloader.finish()
        finally:
            manager.stopping()
            await node.stop()
    except LeakError as error:
        _log.error("start-failed", error=error)
        return 2 if isinstance(error, ConfigurationError) else 1
    finally:
        beating.cancel()
        alive.cancel()
    return _status(node)


def _status(node: Node | FrontNode) -> int:
    """The exit status of a node that ran."""
    match node.ended.ending if node.ended is not None else None:
        case None:
            return 0
        case Ending.REPLACED:
            return REPLACED_STATUS
        case Ending.MISSED:
            return ANEW_STATUS
        case _ as never:
            assert_never(never)


def _give_large_blocks_back() -> None:
    """Have the C library ask the kernel for each large block, and give it back when it is freed.

    Left alone, glibc raises that size to 32 MB once such a block was freed: letters of 25 MB then lie between small
    things in its heap, which keeps their holes. Eight of them at once over HTTP took 269 MB so, and 205 MB with this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)


class Reloader:
    """Reads the configuration again when asked; a bad one is reported and changes nothing.

    It may be asked from the first moment on, for an unhandled SIGHUP would kill us: what is asked before `begin`
    is done then, and what is asked during a reload after it.
    """

    def __init__(self, file: Path, node: Node | FrontNode, manager: NotifySocket) -> None:
        self._file = file
        self._node = node
        self._manager = manager
        self._asked = False
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Reload soon."""
        self._asked = True
        if self._begun and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run(), name="reload")

    def begin(self) -> None:
        """The node has started."""
        self._begun = True
        if self._asked:
            self.ask()

    async def finish(self) -> None:
        """Wait for a reload under way."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._asked:
            self._asked = False
            self._manager.reloading()
            try:
                await self._node.reload(load_settings(self._file))
            except LeakError as error:
                _log.error("reload-refused", error=error, applied="nothing")
            except Exception:  # noqa: BLE001 - a node that works must not end because it could not be reloaded
                _log.exception("reload-failed")
            finally:
                self._manager.reloaded()
