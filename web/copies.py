"""The same words to many people: letters that look alike, noticed in memory (RCP 6).

A letter is reduced to 64 bits (SimHash over its words in threes); two that differ in three bits or fewer are copies.
Short letters are left out: many people write "thank you for everything".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import deque
from datetime import timedelta
from typing import Final

from relay.clock import Clock
from relay.ids import Entropy
from web.mailbox import mailbox_of

MOST_RECIPIENTS: Final = 2
"""How many people may get the same words within a day before a person looks."""

_WORD: Final = re.compile(r"\w+")
_FEWEST_WORDS: Final = 12
_BITS: Final = 64
_NEAR: Final = 3
_SPAN: Final = timedelta(days=1)
_REMEMBERED: Final = 5000


class Copies:
    """What was sent within a day, at most 5,000 letters; forgotten when the process ends."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._key = entropy.bytes(32)
        self._sent: deque[tuple[float, int, bytes]] = deque(maxlen=_REMEMBERED)

    def note(self, message: str, recipient: str) -> bool:
        """Remember a letter; whether its words have now gone to more people than they may."""
        looks = looks_of(message)
        if looks is None:
            return False
        now = self._clock.monotonic()
        while self._sent and self._sent[0][0] < now - _SPAN.total_seconds():
            self._sent.popleft()
        whom = hmac.digest(self._key, mailbox_of(recipient).encode(), hashlib.sha256)[:16]
        self._sent.append((now, looks, whom))
        return len({to for _, known, to in self._sent if (known ^ looks).bit_count() <= _NEAR}) > MOST_RECIPIENTS


def looks_of(message: str) -> int | None:
    """64 bits that are nearly the same for nearly the same words; None for a short letter."""
    words = _WORD.findall(message.casefold())
    if len(words) < _FEWEST_WORDS:
        return None
    counts = [0] * _BITS
    for first in range(len(words) - 2):
        digest = hashlib.blake2b(" ".join(words[first : first + 3]).encode(), digest_size=_BITS // 8).digest()
        bits = int.from_bytes(digest)
        for bit in range(_BITS):
            counts[bit] += 1 if bits >> bit & 1 else -1
    return sum(1 << bit for bit, count in enumerate(counts) if count > 0)
