"""The same words to many people: letters that look alike, noticed in memory (RCP 6).

A letter is reduced to 64 bits (SimHash over its words in threes); two that differ in three bits or fewer are copies.
Short letters are left out: many people write "thank you for everything".
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import defaultdict, deque
from dataclasses import dataclass
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
_BANDS: Final = 4
"""Looks are compared only where one of so many parts is equal: `_NEAR` differences cannot touch all of them."""
_BAND: Final = _BITS // _BANDS
_LANE: Final = 16
_SPREAD: Final = tuple(sum((octet >> bit & 1) << _LANE * bit for bit in range(8)) for octet in range(256))
"""The bits of an octet, each in a lane of its own, so that eight are counted by one addition."""

_Sent = tuple[float, int, bytes]


@dataclass(frozen=True, slots=True)
class Looks:
    """What a letter looks like, and a hash of whom it is for, under a key that ends with the process."""

    bits: int
    to: bytes


class Copies:
    """What was sent within a day, at most 5,000 letters; forgotten when the process ends."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._key = entropy.bytes(32)
        self._sent: deque[_Sent] = deque()
        self._alike: defaultdict[tuple[int, int], deque[_Sent]] = defaultdict(deque)

    def looks(self, message: str, recipient: str) -> Looks | None:
        """What is looked for, and remembered, of a letter; None for a short one."""
        bits = looks_of(message)
        return None if bits is None else Looks(bits, self._hash(recipient))

    def are_too_many(self, letter: Looks) -> bool:
        """Whether with this letter its words would have gone to more people than they may."""
        self._forget_old()
        alike = (one for band in _bands(letter.bits) for one in self._alike[band])
        whom = {to for _, known, to in alike if (known ^ letter.bits).bit_count() <= _NEAR}
        return len(whom | {letter.to}) > MOST_RECIPIENTS

    def note(self, letter: Looks) -> None:
        """Remember a letter that is sent."""
        self._forget_old()
        if len(self._sent) >= _REMEMBERED:
            self._forget_oldest()
        sent = (self._clock.monotonic(), letter.bits, letter.to)
        self._sent.append(sent)
        for band in _bands(letter.bits):
            self._alike[band].append(sent)

    def _hash(self, recipient: str) -> bytes:
        return hmac.digest(self._key, mailbox_of(recipient).encode(), hashlib.sha256)[:16]

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        while self._sent and self._sent[0][0] < now - _SPAN.total_seconds():
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, looks, _ = self._sent.popleft()
        for band in _bands(looks):
            # Every list is in the order of time, so what is the oldest of all is the oldest of each of its own.
            self._alike[band].popleft()
            if not self._alike[band]:
                del self._alike[band]


def _bands(looks: int) -> list[tuple[int, int]]:
    """The parts of `looks`, each with its place."""
    return [(place, looks >> _BAND * place & (1 << _BAND) - 1) for place in range(_BANDS)]


def looks_of(message: str) -> int | None:
    """64 bits that are nearly the same for nearly the same words; None for a short letter."""
    words = _WORD.findall(message.casefold())
    if len(words) < _FEWEST_WORDS:
        return None
    sums = [0] * (_BITS // 8)
    for first in range(len(words) - 2):
        digest = hashlib.blake2b(" ".join(words[first : first + 3]).encode(), digest_size=_BITS // 8).digest()
        for place, octet in enumerate(digest):
            sums[place] += _SPREAD[octet]
    lanes = ((total >> _LANE * bit) % (1 << _LANE) for total in sums for bit in range(8))
    return sum(1 << bit for bit, ones in enumerate(lanes) if 2 * ones > len(words) - 2)
