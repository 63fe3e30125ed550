"""Ports for servers that bind only later, or again after a kill: nobody else is given them in between.

The kernel hands ports of its ephemeral range to every outgoing connection, so that a port found free there may be
taken a moment later. These lie below that range, and a lock on a file in the system's temporary folder keeps each for
the test process that asked, until it ends: other test processes of the machine, and other runs, see the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
from pathlib import Path

FIRST, LAST = 10_200, 32_000
"""Above what services of the system use by custom, below the ephemeral range of Linux (from 32768)."""
LOCKS = Path(tempfile.gettempdir()) / f"leak-test-ports-{os.geteuid()}"
_kept: list[int] = []
"""Descriptors of the locks: closed by the end of the process, whatever way it ends."""


def free_port() -> int:
    """A port of loopback for this test process alone, free for TCP and UDP. Raises OSError when there is none left."""
    LOCKS.mkdir(exist_ok=True)
    span = LAST - FIRST
    start = os.getpid() * 97 % span
    for step in range(span):
        port = FIRST + (start + step) % span
        lock = os.open(LOCKS / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_free(port):
                _kept.append(lock)
                return port
        os.close(lock)
    raise OSError(f"no port between {FIRST} and {LAST} is free")


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(type=kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
