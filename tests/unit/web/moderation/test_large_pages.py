"""Large pages under what is read for every letter: which memory they are asked for, and that it stays what it was."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import pytest

from web.moderation.large_pages import use_large_pages, whole_pages

_MIB = 1 << 20
_SIZE = 8 * _MIB
_NEVER = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_MAPPING = """\
{start:x}-{end:x} {rights} 00000000 {device} 0 {name}
Size:           {size:8} kB
KernelPageSize:        4 kB
Rss:            {present:8} kB
Pss:            {present:8} kB
VmFlags: rd wr mr mw me ac sd
"""


def mapping(
    start: int, size: int, present: float = 1, *, rights: str = "rw-p", device: str = "00:00", name: str = ""
) -> str:
    told = {"start": start, "end": start + size, "size": size >> 10, "present": int(size * present) >> 10}
    return _MAPPING.format(**told, rights=rights, device=device, name=name)


@pytest.mark.parametrize("name", ["", "[heap]"])
def test_pages_that_a_mapping_has_whole_are_asked_for(name: str) -> None:
    start = 0x7F00_0030_0000  # a MiB behind the beginning of a large page
    assert list(whole_pages(mapping(start, 6 * _MIB, name=name))) == [(start + _MIB, 4 * _MIB)]


@pytest.mark.parametrize(
    "text",
    [
        mapping(0x7F00_0000_0000, 8 * _MIB, present=0.1),  # a thread's stack
        mapping(0x7F00_0000_0000, 8 * _MIB, rights="r--p"),
        mapping(0x7F00_0000_0000, 8 * _MIB, device="fe:00", name="/usr/lib/libpython3.so"),
        mapping(0x7F00_0010_0000, 2 * _MIB),  # lies across two large pages
        "",
    ],
)
def test_other_memory_is_left_alone(text: str) -> None:
    assert list(whole_pages(text)) == []


def test_each_mapping_is_looked_at_by_itself() -> None:
    thin, full = mapping(0x7F00_0000_0000, 8 * _MIB, present=0), mapping(0x7F10_0000_0000, 2 * _MIB)
    assert list(whole_pages(thin + full + thin)) == [(0x7F10_0000_0000, 2 * _MIB)]


def test_memory_keeps_what_is_in_it() -> None:
    if not _NEVER.exists() or "[never]" in _NEVER.read_text(encoding="ascii"):
        pytest.skip("this system has no large pages to give")
    written = bytes(range(256)) * (_SIZE // 256)
    with mmap.mmap(-1, _SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(written)
        before = large()
        use_large_pages()
        assert memory[:] == written
        if large() == before:
            pytest.skip("the kernel had none left, or is older than 6.1")


def large() -> int:
    """Kilobytes in large pages."""
    found = re.search(r"^AnonHugePages: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
