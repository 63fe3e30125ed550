"""What became a refusal lately: by it a holder of leases learns, right before the dot, what was decided meanwhile.

Bounded: who asks about a time longer ago than it remembers is told that something may have changed, and looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

REMEMBERED: Final = 4096


class Changes:
    """Numbers every change; a number is a moment between two of them."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._lately: deque[tuple[int, bytes]] = deque(maxlen=remembered)
        self.number = 0

    def note(self, hashes: Iterable[bytes]) -> None:
        """These hashes are refused from now on."""
        for digest in hashes:
            self.number += 1
            self._lately.append((self.number, digest))

    def touched(self, since: int, hashes: Collection[bytes]) -> bool:
        """Whether any of `hashes` was refused after `since`, or may have been."""
        if since == self.number:
            return False
        if self._lately[0][0] > since + 1:
            return True
        for number, digest in reversed(self._lately):
            if number <= since:
                return False
            if digest in hashes:
                return True
        return False
