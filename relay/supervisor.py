"""The supervisor: binds the ports, keeps the spool to one node, starts the workers and replaces the dead.

It holds no spool open and runs no mail: it must be the part that does not fall over. Workers are exec'd, stay
in its process group, and end within a second when it vanishes, which they learn from a pipe; of them it hears by
another, and kills one that is silent for too long.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from relay import lifeline as lifelines
from relay import pulse as pulses
from relay.assignment import ANEW_STATUS, ENVIRONMENT, REPLACED_STATUS, Assignment, inherited, lone_assignment
from relay.errors import ConfigurationError
from relay.garbage import keeping_all
from relay.key_memory import ENVIRONMENT as KEY_MEMORY
from relay.key_memory import make_key_memory
from relay.listeners import Listener, bind_all, wanted_listeners
from relay.log import Log, configure_logging
from relay.node_lock import NodeLock
from relay.notify_socket import OURS_ALONE, NotifySocket
from relay.policy.quarantine import Death
from relay.settings import Settings, load_settings
from relay.stand_in import StandIn
from relay.watchdog import Watchdog, open_pulse
from relay.worker_death import judge_death, memory_kills, status_text

if TYPE_CHECKING:
    from relay.fronting import Front

_log = Log("supervisor")

METRICS_ENVIRONMENT: Final = "PROMETHEUS_MULTIPROC_DIR"
STOP_SECONDS: Final = 40.0
"""How long workers may drain before they are killed: more than doors, transactions and spool may take in a row."""
ORPHANS_SECONDS: Final = 5.0
"""How long the workers of a supervisor that was killed may still hold the ports."""
_WORKER: Final = "import relay.lifeline; relay.lifeline.watch(); import sys, relay.cli; sys.exit(relay.cli.main())"
"""A worker's program: it watches its lifeline before it loads the rest."""
CRASH_PAUSES: Final = (0.0, 0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a worker is started again, by how often running it died young."""
LONGEST_AFTER_WORK: Final = 1.0
"""The same for one that had opened its doors: what killed it was something it met, and clients wait meanwhile."""
YOUNG_SECONDS: Final = 10.0
LATELY_SECONDS: Final = 600.0
CONFIGURATION_STATUS: Final = 2
"""With which a worker ends that cannot use the configuration, and then we (docs/reference/cli.md)."""


def run(file: Path, front: Front) -> int:
    """Run the node of a configuration until it is told to stop; the exit status. Raises ConfigurationError."""
    settings = load_settings(file)
    assignment = inherited()
    if assignment is not None:
        return _work(file, settings, assignment, assignment.listeners(), front)
    configure_logging(settings.log.level, settings.log.format)
    count = settings.node.workers or os.cpu_count() or 1
    with NodeLock(settings) as lock:
        listeners = bind_all(wanted_listeners(settings), count, ORPHANS_SECONDS if lock.unclean else 0.0)
        if count > 1:
            return asyncio.run(Supervisor(file, listeners, settings.node.watchdog).run())
        status = _work(file, settings, lone_assignment(), listeners[0], front)
    if status == ANEW_STATUS:
        # Nobody else starts us again, and the same process cannot be as new as this makes it.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own words
    return status


def _work(file: Path, settings: Settings, assignment: Assignment, listeners: list[Listener], front: Front) -> int:
    # Here and not above: a supervisor that does not load the node starts its workers a second sooner.
    with keeping_all():
        from relay.worker import run_worker

    return run_worker(file, settings, assignment, listeners, front)


class Supervisor:
    """Owns the workers' processes."""

    def __init__(self, file: Path, listeners: Sequence[Sequence[Listener]], patience: timedelta) -> None:
        self._file = file
        self._listeners = listeners
        self._patience = patience.total_seconds()
        self._stand_ins = [StandIn(worker, doors) for worker, doors in enumerate(listeners)]
        self._stopping = asyncio.Event()
        self._key_memory = make_key_memory()
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._deaths: deque[float] = deque(maxlen=100)
        self._metrics = Path(tempfile.mkdtemp(prefix="leak-metrics-"))
        self._manager = NotifySocket.of(os.environ)
        self._fell = [Death.KILLED for _ in listeners]
        """How the last life of each worker ended."""
        self._working: set[int] = set()
        """Workers whose doors are open."""

    async def run(self) -> int:
        """Start the workers and keep them alive until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        lifeline, keep = os.pipe()
        alive = asyncio.create_task(self._manager.keep_alive(), name="manager")
        self._tell_manager()
        try:
            keepers = [
                asyncio.create_task(self._keep(worker, lifeline), name=f"worker-{worker}")
                for worker in range(len(self._listeners))
            ]
            failed = await self._until_stopped(keepers)
        finally:
            alive.cancel()
            for stand_in in self._stand_ins:
                await stand_in.end()
            os.close(keep)
            os.close(lifeline)
            shutil.rmtree(self._metrics, ignore_errors=True)
        return failed

    async def _until_stopped(self, keepers: list[asyncio.Task[int]]) -> int:
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([stopping, *keepers], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self._stopping.set()
        self._manager.stopping()
        self._signal_all(signal.SIGTERM)
        done, late = await asyncio.wait(keepers, timeout=STOP_SECONDS)
        if late:
            _log.error("drain-too-slow", workers=len(late))
            self._signal_all(signal.SIGKILL)
            more, _ = await asyncio.wait(keepers)
            done |= more
        return max(task.result() for task in done)

    async def _keep(self, worker: int, lifeline: int) -> int:
        """Run one worker again and again; returns when we stop, with 3 when another node took our name, or with 2 when
        its first life refuses the settings.

        A later life may find a file that somebody is just editing: that must not end a service that works.
        """
        young = unopened = 0
        first = True
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            status, worked = await self._live(worker, lifeline)
            if status == REPLACED_STATUS:
                return REPLACED_STATUS
            if self._stopping.is_set():
                return 0 if status in (0, -signal.SIGTERM) else 1
            if status == CONFIGURATION_STATUS and first:
                return CONFIGURATION_STATUS
            first = False
            if status == ANEW_STATUS:
                continue
            self._deaths.append(loop.time())
            young = 0 if loop.time() - begun > YOUNG_SECONDS else young + 1
            unopened = 0 if worked or not young else unopened + 1
            pause = _pause(unopened) if unopened else min(_pause(young), LONGEST_AFTER_WORK)
            _log.error("worker-died", worker=worker, status=status_text(status), restart_in=pause)
            if pause and unopened:
                await self._stand_ins[worker].begin()
            if await self._stopped_within(pause):
                return 0 if worked else 1

    async def _live(self, worker: int, lifeline: int) -> tuple[int, bool]:
        """One life of a worker: its exit status, and whether it ever opened its doors."""
        ours = theirs = -1
        try:
            ours, theirs = open_pulse()
            process = await self._start(worker, lifeline, theirs)
        except OSError as error:
            # No memory, no process or no descriptor left just now: as if it had died young.
            _log.error("worker-not-started", worker=worker, error=error)
            if ours >= 0:
                os.close(ours)
            return 1, False
        finally:
            if theirs >= 0:
                os.close(theirs)
        self._processes[worker] = process
        _log.info("worker-started", worker=worker, pid=process.pid)
        if self._stopping.is_set():
            process.terminate()
        watchdog = Watchdog(ours, self._patience, partial(self._works, worker))
        memory_kills_before = memory_kills()
        watching = asyncio.create_task(watchdog.watch(worker, process), name=f"watch-{worker}")
        try:
            status = await process.wait()
            memory_kill = memory_kills() > memory_kills_before
            self._fell[worker] = judge_death(status, hung=watchdog.gave_up, memory_kill=memory_kill)
            return status, watchdog.has_worked
        finally:
            watching.cancel()
            self._working.discard(worker)
            self._tell_manager()
            await asyncio.gather(watching, return_exceptions=True)
            os.close(ours)
            self._forget_metrics(process.pid)

    async def _works(self, worker: int) -> None:
        """A worker's doors are open; with the first one the node is ready, for the kernel asks each in turn."""
        self._working.add(worker)
        self._manager.ready()
        self._tell_manager()
        await self._stand_ins[worker].end()

    def _tell_manager(self) -> None:
        self._manager.status(f"{len(self._working)} of {len(self._listeners)} workers take and send mail")

    async def _start(self, worker: int, lifeline: int, pulse: int) -> asyncio.subprocess.Process:
        listeners = self._listeners[worker]
        descriptors = [one.socket.fileno() for one in listeners]
        sockets = tuple((one.purpose, str(one.listen), one.socket.fileno()) for one in listeners)
        assignment = Assignment(worker, len(self._listeners), sockets, self._lately(), self._fell[worker])
        environment = {
            **{name: value for name, value in os.environ.items() if name not in OURS_ALONE},
            ENVIRONMENT: assignment.dump(),
            lifelines.ENVIRONMENT: str(lifeline),
            KEY_MEMORY: "" if self._key_memory is None else str(self._key_memory),
            pulses.ENVIRONMENT: str(pulse),
            METRICS_ENVIRONMENT: str(self._metrics),
        }
        # The child inherits the mask: it opens it when it can handle SIGHUP, which would kill it before.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # else -c looks for modules in the current folder first, whoever may write there
                "-c",
                _WORKER,
                "run",
                "--config",
                str(self._file),
                pass_fds=(*descriptors, lifeline, pulse, *([] if self._key_memory is None else [self._key_memory])),
                env=environment,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

    def _lately(self) -> int:
        """How many workers died within the last minutes: the first one tells, if there are too many."""
        now = asyncio.get_running_loop().time()
        return sum(1 for moment in self._deaths if now - moment < LATELY_SECONDS)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            if process.returncode is None:
                process.send_signal(number)

    def _reload(self) -> None:
        """Pass SIGHUP on when all that a reload applies can be used; otherwise say why not."""
        # Here and not above: the first reload may wait for what a start need not load.
        from relay.reloading import read_anew

        self._manager.reloading()
        try:
            read_anew(load_settings(self._file))
        except ConfigurationError as error:
            _log.error("reload-refused", error=error, applied="nothing")
        else:
            self._signal_all(signal.SIGHUP)
        finally:
            self._manager.reloaded()

    def _forget_metrics(self, pid: int) -> None:
        """Drop a dead worker's gauges; its counters stay in the sums."""
        for file in self._metrics.glob(f"gauge_live*_{pid}.db"):
            file.unlink(missing_ok=True)


def _pause(deaths: int) -> float:
    return CRASH_PAUSES[min(deaths, len(CRASH_PAUSES) - 1)]
