"""A page of memory that a machine's workers share, for keys that must never be on disk.

The supervisor makes it and passes it on; it lives as long as one of them does. Where the system has no such memory, or
without a supervisor, a process has a page of its own. It is never swapped out where the system lets us say so (4 KB of
RLIMIT_MEMLOCK), since swap space is a disk, and stands in no core dump.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Final

ENVIRONMENT: Final = "LEAK_KEY_MEMORY"
"""Tells a worker the descriptor."""

SIZE: Final = 4096


def make_key_memory() -> int | None:
    """A descriptor to pass on, None where the system has none to give."""
    if not hasattr(os, "memfd_create"):
        return None
    descriptor = os.memfd_create("leak-keys")
    os.ftruncate(descriptor, SIZE)
    return descriptor


class KeyMemory:
    """The page. `descriptor` None makes one for this process alone."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = descriptor
        self.page = mmap.mmap(-1 if descriptor is None else descriptor, SIZE)
        _keep_from_swap(self.page)
        if hasattr(mmap, "MADV_DONTDUMP"):
            self.page.madvise(mmap.MADV_DONTDUMP)

    @classmethod
    def inherited(cls) -> KeyMemory:
        """The supervisor's page, else one of our own."""
        text = os.environ.get(ENVIRONMENT, "")
        return cls(int(text) if text else None)


def _keep_from_swap(page: mmap.mmap) -> None:
    """Pin the page; where that is refused or unknown, it stays as it is."""
    first = ctypes.c_char.from_buffer(page)
    try:
        ctypes.CDLL(None).mlock(ctypes.byref(first), ctypes.c_size_t(SIZE))
    except (OSError, AttributeError):
        return
    finally:
        del first  # a page that is pointed to cannot be closed
