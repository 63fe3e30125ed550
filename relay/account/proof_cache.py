"""Proofs that succeeded a moment ago, so that an SMTP client that reconnects pays for argon2id once a minute.

Secrets are kept only as an HMAC under a key that lives and dies with the process.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Final

from relay.account.credential import Proven
from relay.clock import Clock
from relay.ids import Entropy

LIFETIME: Final = 60.0
"""Seconds a proof is believed: the longest that a changed or removed credential still works elsewhere."""


class ProofCache:
    """The last `capacity` proofs, each for LIFETIME seconds."""

    def __init__(self, clock: Clock, entropy: Entropy, capacity: int = 4096) -> None:
        self._clock = clock
        self._secret = entropy.bytes(32)
        self._capacity = capacity
        self._proofs: OrderedDict[bytes, tuple[float, Proven]] = OrderedDict()

    def tag(self, name: str, secret: str) -> bytes:
        """What stands for a name and secret in here; `name` is empty for an API key."""
        text = f"{len(name)}:{name}:{secret}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, text, hashlib.sha256)

    def get(self, tag: bytes) -> Proven | None:
        """The proof behind `tag` if it is still believed."""
        kept = self._proofs.get(tag)
        if kept is None:
            return None
        if kept[0] <= self._clock.monotonic():
            del self._proofs[tag]
            return None
        return kept[1]

    def put(self, tag: bytes, proven: Proven) -> None:
        """Believe `proven` for LIFETIME seconds from now."""
        while len(self._proofs) >= self._capacity:
            self._proofs.popitem(last=False)
        self._proofs[tag] = (self._clock.monotonic() + LIFETIME, proven)

    def clear(self) -> None:
        """Believe nothing any more: a credential was changed."""
        self._proofs.clear()
