"""The signer: keys held in memory, signatures by OpenSSL (RFC 6376, 8301, 8463).

Stands at the end of intake's prelude: nothing touches header or body afterwards (L03). Guarantees: one
signature a configured selector, RSA topmost; the body hashed once; a domain one of whose keys cannot be used
signs nothing (half a signature set is a defect to repair, not to send), and other domains do not notice.

Where to sign was measured on two cores with uvloop, a 4 KiB message with an RSA-2048 and an Ed25519 signature. Two
busy workers, one a core: on the loop 1,800/s each, in two threads each 1,650/s. One worker alone: on the loop 2,100/s,
in two threads 2,300/s (2,500/s beside other work on the loop, where signing inline gives 1,500/s). A lonely
message: on the loop 0.45 ms, with the trip into a thread 0.78 ms. So a worker a core signs on its loop, and threads
are for nodes with fewer workers than cores. Large bodies are hashed in a thread always.
`benchmarks/signing.py` measures it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from relay.log import Log
from relay.mail.body_hash import BodyHash
from relay.signing.contract import KeyUnavailableError
from relay.signing.keys import RSA_BITS, KeyFileError, key_path, load_key
from relay.signing.rotation import read_rotation
from relay.signing.signature import Covered, SigningKey, cover, sign_all

_OFF_LOOP_BYTES: Final = 64 * 1024
"""From this size on, a body is hashed in a thread: 25 MB would stop the loop for a tenth of a second."""


@dataclass(frozen=True, slots=True)
class DomainKeys:
    """A signing domain as configured: its name in lower case, and the selectors of the keys that all sign."""

    domain: str
    selectors: tuple[str, ...]
    ed25519: bool = True
    """False leaves the Ed25519 keys among them unused."""


class DkimSigner:
    """A `Signer` for the keys in a folder; `threads` = 0 signs on the loop. Close it at the end.

    `operator` is the domain that signs everybody's mail a second time, below, for feedback loops.
    """

    def __init__(self, folder: Path, domains: Sequence[DomainKeys], threads: int, operator: str | None = None) -> None:
        self._folder = folder
        self._operator = operator
        self._domains = {entry.domain: entry for entry in domains}
        self._log = Log("signing")
        self._keys: dict[str, tuple[SigningKey, ...]] = {}
        self._missing: dict[str, str] = {}
        self._inline = threads == 0
        self._threads = ThreadPoolExecutor(max(1, threads), thread_name_prefix="sign")
        # Callers beyond it wait in their own coroutines; the executor's queue stays short.
        self._room = asyncio.Semaphore(max(1, threads) * 64)
        self.reload()

    @property
    def unavailable(self) -> dict[str, str]:
        """The domains whose keys could not be read at the last load, with the reason."""
        return dict(self._missing)

    def domain_for(self, from_domain: str) -> str | None:
        """The signing domain of a From domain: itself or the nearest configured parent, None without one."""
        name = from_domain.lower()
        while name:
            if name in self._domains:
                return name
            name = name.partition(".")[2]
        return None

    def reload(self) -> dict[str, str]:
        """Read all keys again and put them in use; returns the domains that cannot sign, with the reason."""
        keys: dict[str, tuple[SigningKey, ...]] = {}
        missing: dict[str, str] = {}
        for name, entry in self._domains.items():
            try:
                keys[name] = self._load(entry)
            except (KeyFileError, ValueError) as error:
                missing[name] = str(error)
                self._log.error("key-unavailable", domain=name, reason=str(error))
        self._keys, self._missing = keys, missing
        return dict(missing)

    def _load(self, entry: DomainKeys) -> tuple[SigningKey, ...]:
        found: list[SigningKey] = []
        for selector in read_rotation(self._folder, entry.domain, entry.selectors).signing:
            key = SigningKey(selector, load_key(key_path(self._folder, entry.domain, selector)))
            if key.is_rsa and key.bits < RSA_BITS:
                self._log.warning("key-weak", domain=entry.domain, selector=selector, bits=key.bits)
            if key.is_rsa or entry.ed25519:
                found.append(key)
        if not found:
            raise KeyFileError(f"no key of {entry.domain} may sign: ed25519 = false leaves only RSA keys in use")
        return tuple(sorted(found, key=lambda key: not key.is_rsa))

    async def sign(self, domain: str, header: bytes, body: bytes | BodyHash, now: datetime) -> bytes:
        """The DKIM-Signature fields of `domain` for this header block and body; see the contract.

        Raises KeyUnavailableError, and ValueError for a header block that is none.
        """
        keys = self._keys.get(domain)
        if keys is None:
            raise KeyUnavailableError(domain, self._missing.get(domain, "no such signing domain is configured"))
        signing = [(domain, keys)]
        if self._operator is not None and self._operator != domain and self._operator in self._keys:
            signing.append((self._operator, self._keys[self._operator]))
        timestamp = int(now.timestamp())
        large = isinstance(body, bytes) and len(body) > _OFF_LOOP_BYTES
        if self._inline and not large:
            return _sign_for(signing, timestamp, cover(header, body))
        loop = asyncio.get_running_loop()
        async with self._room:
            if large:
                covered = await loop.run_in_executor(self._threads, cover, header, body)
            else:
                covered = cover(header, body)
            return await loop.run_in_executor(self._threads, _sign_for, signing, timestamp, covered)

    def close(self) -> None:
        """Let the threads end; signatures under way are finished first."""
        self._threads.shutdown(wait=True)


def _sign_for(signing: Sequence[tuple[str, tuple[SigningKey, ...]]], timestamp: int, covered: Covered) -> bytes:
    return b"".join(sign_all(keys, domain, timestamp, covered) for domain, keys in signing)
