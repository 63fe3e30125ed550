"""Identifiers: unguessable, sortable by time where the spool wants it, free of host and process.

Randomness comes in through `Entropy`, so that a simulation can seed it. `email.utils.make_msgid` is not
used anywhere: it tells the time, the process id and the host name.
"""

from __future__ import annotations

import random
import secrets
from typing import NewType, Protocol

SpoolId = NewType("SpoolId", str)
"""An accepted message: 26 characters, lower-case base32 (48 bits of time, 80 random bits)."""

DeliveryId = NewType("DeliveryId", str)
"""A message's duty toward one recipient: `<SpoolId>.<n>`, n counted from 0 in envelope order."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_DIGITS = {digit: value for value, digit in enumerate(_ALPHABET)}


class Entropy(Protocol):
    """A source of random bytes and of uniform floats."""

    def bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        ...

    def uniform(self) -> float:
        """A float in [0, 1)."""
        ...


class SystemEntropy:
    """The operating system's randomness for secrets; a Mersenne twister seeded from it for jitter."""

    def __init__(self) -> None:
        self._jitter = random.Random(secrets.randbits(128))  # noqa: S311 - jitter is no secret

    def bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)

    def uniform(self) -> float:
        return self._jitter.random()


class SeededEntropy:
    """A reproducible source for simulations and tests; never for secrets."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible by design

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self) -> float:
        return self._random.random()


def base32(data: bytes) -> str:
    """Lower-case Crockford base32 without padding; 5 bytes give 8 characters."""
    number = int.from_bytes(data)
    length = -(-len(data) * 8 // 5)
    digits: list[str] = []
    if length % 2:
        digits.append(_ALPHABET[number & 31])
        number >>= 5
    for _ in range(length // 2):
        digits.append(_PAIRS[number & 1023])
        number >>= 10
    return "".join(reversed(digits))


def from_base32(text: str, count: int) -> bytes:
    """The `count` bytes that `base32` wrote as `text`; ValueError for every other text, so that none has two forms."""
    if len(text) != -(-count * 8 // 5):
        raise ValueError("wrong length")
    number = 0
    for digit in text:
        value = _DIGITS.get(digit)
        if value is None:
            raise ValueError("not a digit of base32")
        number = number << 5 | value
    if number >> 8 * count:
        raise ValueError("more than the bytes hold")
    return number.to_bytes(count)


def new_spool_id(now_millis: int, entropy: Entropy) -> SpoolId:
    """A new message's id; ids made later sort later, to the millisecond."""
    return SpoolId(base32(now_millis.to_bytes(6) + entropy.bytes(10)))


def delivery_id(message: SpoolId, n: int) -> DeliveryId:
    """The id of the `n`-th delivery of `message`."""
    return DeliveryId(f"{message}.{n}")


def split_delivery_id(value: str) -> tuple[SpoolId, int]:
    """The message and number in a delivery id; ValueError if it is none."""
    message, dot, n = value.partition(".")
    if not dot or not is_spool_id(message) or not n.isdecimal():
        raise ValueError(f"not a delivery id: {value[:64]!r}")
    return SpoolId(message), int(n)


def is_spool_id(value: str) -> bool:
    """Whether `value` has the form of a message's id."""
    return len(value) == 26 and all(c in _ALPHABET for c in value)


def new_message_id(domain: str, entropy: Entropy) -> str:
    """A Message-ID with angle brackets: 128 random bits at `domain`, nothing else (RFC 5322 §3.6.4)."""
    return f"<{base32(entropy.bytes(16))}@{domain}>"
