"""A page of memory that a machine's workers share, for keys that must never be on disk.

The supervisor makes it and passes it on; it lives as long as one of them does. Where the system has no such memory, or
without a supervisor, a process has a page of its own.
"""

from __future__ import annotations

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

    @classmethod
    def inherited(cls) -> KeyMemory:
        """The supervisor's page, else one of our own."""
        text = os.environ.get(ENVIRONMENT, "")
        return cls(int(text) if text else None)
