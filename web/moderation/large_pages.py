"""Memory that is read all over for every letter, put into pages of two megabytes where the system has them.

The network alone is 5,000 small pages, more than a processor remembers the places of, and in a virtual machine it
costs twice to look one up: a fifth of the second reading. Linux puts what is there together when it is asked to
(`MADV_COLLAPSE`, from 6.1 on); where it cannot, or is not to, everything stays as it was.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PAGE: Final = 2 << 20
"""Bytes of a large page."""
_COLLAPSE: Final = 25
"""MADV_COLLAPSE (madvise(2))."""
_SETTING: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPPINGS: Final = Path("/proc/self/smaps")
_MAPPING: Final = re.compile(
    r"^(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) rw-p \S+ 00:00 0 +(?:\[heap\])?\n"
    r"(?:[A-Z]\w+: .*\n)*?Rss: +(?P<present>\d+) kB$",
    re.MULTILINE,
)
"""Memory of the process's own, and how much of it there is."""
_LEAST_PRESENT: Final = 0.9
"""The share of a mapping: a thread's stack, of which most was never touched, would become all there."""


def use_large_pages() -> None:
    """Ask for large pages under all that this process holds; nothing happens where the system has none."""
    try:
        if "[never]" in _SETTING.read_text(encoding="ascii"):
            return
        mappings = _MAPPINGS.read_text(encoding="utf-8", errors="replace")
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return
    for start, size in whole_pages(mappings):
        advise(ctypes.c_void_p(start), ctypes.c_size_t(size), _COLLAPSE)


def whole_pages(mappings: str) -> Iterator[tuple[int, int]]:
    """Where the large pages are that the mappings have room for, and how many bytes these are."""
    for found in _MAPPING.finditer(mappings):
        start, end = int(found["start"], 16), int(found["end"], 16)
        first, last = -(-start // _PAGE) * _PAGE, end // _PAGE * _PAGE
        if first < last and int(found["present"]) * 1024 >= _LEAST_PRESENT * (end - start):
            yield first, last - first
