"""The runs of letters inside words as numbers, of all words of a letter at once.

For `vocabulary`: by its runs the first reading recognises a word that is in no list, and a letter may be made of
nothing else. Their checksums (CRC-32, as of `zlib`) are worked out side by side, letter after letter of every run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_MOST_LETTERS: Final = 20
"""Letters of one word that are read as runs."""
_SHORT: Final = 3
_LONG: Final = 4
_NONE_YET: Final = 0xFFFFFFFF
"""The checksum of nothing, before it is turned over."""
_TABLE: Final = np.array([crc32(bytes([byte ^ 0xFF])) ^ 0xFF000000 for byte in range(256)])
_LEADS: Final = np.array([0, 0xC0, 0xE0, 0xF0])
"""What stands in the first byte of a character of so many bytes, from one (RFC 3629, section 3)."""
_Numbers = NDArray[np.int64]
_Mask = NDArray[np.bool_]


def runs_of(words: Sequence[str]) -> tuple[_Numbers, _Numbers]:
    """The checksums of runs of three and of four letters, word after word, and how many each word has.

    The beginning and the end of a word are marked, `<word>`, and count as letters.
    """
    marked = [f"<{word[:_MOST_LETTERS]}>" for word in words]
    sizes = np.array([len(word) for word in marked])
    codes = np.frombuffer("".join(marked).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.int64)
    short, long = _checksums(codes)
    left = sizes.cumsum().repeat(sizes) - np.arange(len(codes))
    there = np.column_stack([left >= _SHORT, left >= _LONG])
    counts = np.maximum(sizes - _SHORT + 1, 0) + np.maximum(sizes - _LONG + 1, 0)
    return np.column_stack([short, long])[there], counts


def _checksums(codes: _Numbers) -> tuple[_Numbers, _Numbers]:
    """Of the runs of three and of four characters that begin at each; at the end they go on in zeros."""
    size = len(codes)
    bytes_of = list(_utf_8(np.concatenate([codes, np.zeros(_LONG, np.int64)])))
    states = np.full(size, _NONE_YET)
    found = []
    for behind in range(_LONG):
        for byte, there in bytes_of:
            after = _TABLE.take(states & 0xFF ^ byte[behind : behind + size]) ^ states >> 8
            states = after if there is None else np.where(there[behind : behind + size], after, states)
        found.append(states ^ _NONE_YET)
    return found[_SHORT - 1], found[_LONG - 1]


def _utf_8(codes: _Numbers) -> Iterator[tuple[_Numbers, _Mask | None]]:
    """The first bytes of all characters, then the second, and so on, and which characters have it; None: all."""
    more = (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
    yield _LEADS.take(more) | codes >> 6 * more, None
    for at in range(1, int(more.max()) + 1):
        yield codes >> 6 * np.maximum(more - at, 0) & 0x3F | 0x80, more >= at
