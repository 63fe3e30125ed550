"""Keys under which limits are counted: a day's and a month's, in memory alone, and gone when their time is over.

An address is easily found again from its hash by whoever holds the key, so the key is what has to go. Each kind keeps
the running period's key and the one before it; when both have passed, what was counted under them says nothing more.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

from relay.clock import Clock, to_millis
from relay.ids import Entropy
from relay.key_memory import KeyMemory

_KEY: Final = 32
_OCTETS: Final = 16
_LOT: Final = 8
_RECORD: Final = 8 + 2 * _KEY
_DAY: Final = 86_400_000


class Period(Enum):
    """A kind of key by its place in memory; `days` is how long one signs."""

    DAY = 0
    MONTH = 1

    @property
    def days(self) -> int:
        """The length of a period."""
        return 1 if self is Period.DAY else 30


@dataclass(frozen=True, slots=True)
class Hashes:
    """One thing under the running key, under which it is counted, and under the one before."""

    now: bytes
    before: bytes

    @property
    def both(self) -> tuple[bytes, bytes]:
        """Where it may have been counted."""
        return self.now, self.before


class LimitKeys:
    """Hashes under keys in a page of memory; whoever asks first in a new period makes its key."""

    def __init__(self, memory: KeyMemory, clock: Clock, entropy: Entropy) -> None:
        self._memory = memory
        self._clock = clock
        self._entropy = entropy

    def hashes(self, period: Period, what: bytes) -> Hashes:
        """`what` under both keys of `period`."""
        now, before = self._keys(period)
        return Hashes(_hash(now, what), _hash(before, what))

    def lot(self) -> bytes:
        """What tells rows of one hash apart, and nothing else."""
        return self._entropy.bytes(_LOT)

    def lot_of(self, hashed: bytes, letter: bytes) -> bytes:
        """A lot for one hash and letter, which nobody without the key tells from another."""
        return self.hashes(Period.MONTH, b"lot\0" + hashed + b"\0" + letter).now[:_LOT]

    def _keys(self, period: Period) -> tuple[bytes, bytes]:
        place = period.value * _RECORD
        number = to_millis(self._clock.now()) // (_DAY * period.days)
        with self._locked():
            page = self._memory.page
            known = int.from_bytes(page[place : place + 8])
            now, before = page[place + 8 : place + 8 + _KEY], page[place + 8 + _KEY : place + _RECORD]
            # A clock that goes back over the end of a period changes nothing. One that was a year ahead would keep its
            # last key for that year.
            if known < number or known > number + 1:
                before = now if known == number - 1 else self._entropy.bytes(_KEY)
                now = self._entropy.bytes(_KEY)
                page[place : place + _RECORD] = number.to_bytes(8) + now + before
            return now, before

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among the processes that share the page; a fault in one frees it, since the system holds the lock."""
        if self._memory.descriptor is None:
            yield
            return
        fcntl.lockf(self._memory.descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._memory.descriptor, fcntl.LOCK_UN)


def _hash(key: bytes, what: bytes) -> bytes:
    return hmac.digest(key, what, hashlib.sha256)[:_OCTETS]
