"""Which hashes are surely not in the book: a Bloom filter, so that most mail asks no database.

Two megabytes whatever the book's size. The hashes are uniform already, so their own octets are the positions. With a
million rows one look in 500 goes to the database in vain; with ten, most do, and nothing else changes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

_BITS: Final = 24
_MASK: Final = (1 << _BITS) - 1
_WORDS = struct.Struct(">4I")


class Absence:
    """Only ever learns: a hash that was added is never called absent again."""

    def __init__(self) -> None:
        self._bits = bytearray(1 << (_BITS - 3))
        self.is_empty = True
        """Whether nothing was ever added: then no hash need be made."""

    def add(self, digest: bytes) -> None:
        """Remember a hash of 16 octets."""
        self.is_empty = False
        for word in _WORDS.unpack(digest):
            place = word & _MASK
            self._bits[place >> 3] |= 1 << (place & 7)

    def holds_none(self, digests: Iterable[bytes]) -> bool:
        """Whether none of these was ever added; False may be a mistake, True never is."""
        return self.is_empty or not any(map(self._may_hold, digests))

    def _may_hold(self, digest: bytes) -> bool:
        bits = self._bits
        return all(bits[(word & _MASK) >> 3] & (1 << (word & 7)) for word in _WORDS.unpack(digest))
