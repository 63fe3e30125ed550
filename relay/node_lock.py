"""The lock of a SQLite spool: one node at a time; commands learn its process id from the file."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Final, Self

from relay.errors import ConfigurationError, LeakError
from relay.settings import Settings

_PASSING: Final = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE})
"""Errors of a disk or a machine, not of what stands in the configuration (R05)."""


class NodeLock:
    """Keeps one node to one SQLite spool, and tells commands its process id. Released with the process."""

    def __init__(self, settings: Settings) -> None:
        path = settings.sqlite_path
        self._path = path.with_name("node.pid") if path is not None else None
        self._descriptor = -1
        self.unclean = path is None
        """Whether the node before us may not have ended in good order: its workers hold the ports for a moment.

        Only a file tells; on PostgreSQL nobody knows.
        """

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            words = f"spool.url: {self._path}: {error.strerror}"
            # A disk may be well again by the next start, and a service manager does not try one after a wrong setting.
            raise (LeakError(words) if error.errno in _PASSING else ConfigurationError(words)) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise LeakError(f"{self._path.parent}: another node (process {holder}) uses this spool") from None
        self.unclean = os.fstat(self._descriptor).st_size > 0
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
