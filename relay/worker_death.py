"""How a worker's process ended, as its supervisor sees it: of itself, or killed by somebody.

Under the supervisor. What broke of itself speaks against the mail in its hands (`relay.policy.quarantine`); a kill from
outside does not. The kernel's killer sends the same signal as a person, so its own count of such kills is asked.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

from relay.policy.quarantine import Death

_COUNTS: Final = Path("/proc/vmstat")
_KILLS: Final = "oom_kill "
_FROM_OUTSIDE: Final = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})


def memory_kills(counts: Path = _COUNTS) -> int:
    """How many processes this kernel has killed for want of memory; 0 where it does not tell."""
    try:
        lines = counts.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.removeprefix(_KILLS)) for line in lines if line.startswith(_KILLS)), 0)


def status_text(status: int) -> str:
    """An exit status as a person reads it: the number, or the name of the signal that ended the process."""
    if status >= 0:
        return str(status)
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal has no name
        return f"signal {-status}"


def judge_death(status: int, *, hung: bool, memory_kill: bool) -> Death:
    """The kind of death of a process with this exit status (negative: the signal).

    `hung`: its watchdog ended it; `memory_kill`: the kernel killed some process for want of memory in its life.
    """
    killed = status in _FROM_OUTSIDE and not hung and not memory_kill
    return Death.KILLED if killed else Death.BROKE
