"""The lifeline: a pipe by which a worker learns that its supervisor is gone, from its first moment on.

A young worker spends a second or more loading modules, on a busy machine much longer, and holds the node's ports
meanwhile. So it listens before it loads anything else, in a thread: whoever starts the node again after a
`kill -9` finds the ports free within a second, however young the orphans were.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Final

from relay.log import Log

_log = Log("worker")

ENVIRONMENT: Final = "LEAK_LIFELINE"
"""The descriptor of the pipe's read end; its write end is held by the supervisor alone, and dies with it."""

ORPHAN_SECONDS: Final = 0.5
"""How long an orphan may take to end in good order before it ends hard; its successor voids its leases."""


def watch() -> None:
    """End this process when its supervisor ends; without one, do nothing."""
    descriptor = os.environ.get(ENVIRONMENT)
    if descriptor:
        threading.Thread(target=_wait_for_the_end, args=(int(descriptor),), name="lifeline", daemon=True).start()


def _wait_for_the_end(descriptor: int) -> None:
    os.read(descriptor, 1)  # nobody ever writes: it returns when the last write end is closed
    _log.error("supervisor-vanished")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)
