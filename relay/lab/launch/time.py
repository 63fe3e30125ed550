"""The replay's time: eleven days in some minutes, told by whoever plays the letters to the front that takes them.

The front alone lives in it, so that its days, limits and waiting times are those of the eleven days; the relay's
leases and time-outs stay those of this machine. The time stands in a small file that both processes map.
"""

from __future__ import annotations

import mmap
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

BEGIN: Final = datetime(2014, 7, 28, tzinfo=UTC)
_FORM: Final = struct.Struct("<d")


class ReplayClock:
    """A clock that says what the file says. Eight aligned octets are written and read in one piece."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _FORM.size)

    @classmethod
    def make(cls, path: Path) -> ReplayClock:
        """A new file, at the first day's begin."""
        path.write_bytes(_FORM.pack(0.0))
        return cls(path)

    def now(self) -> datetime:
        """The time of the replay, UTC."""
        return BEGIN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Seconds since the first day's begin."""
        return float(_FORM.unpack(self._page[:])[0])

    def advance(self, seconds: float) -> None:
        """Go to `seconds` after the begin; never back."""
        self._page[:] = _FORM.pack(max(seconds, self.monotonic()))
