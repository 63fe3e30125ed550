"""Passwords: argon2id in two threads of its own, with a bounded number of waiters (S15, F04).

A password that has nothing to be compared with is compared with a dummy, so that an unknown name takes the
time of a wrong password.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from relay.errors import SpoolUnavailableError

T = TypeVar("T")

THREADS: Final = 2
MAX_WAITING: Final = 64
MAX_PASSWORD: Final = 1024
"""Octets; longer ones are wrong without being hashed."""
_DUMMY: Final = "$argon2id$v=19$m=19456,t=2,p=1$DxG/wzWyjjqC/XnpzNWIUw$LCZbofmhQrQwjdLoix4HL20h295iJclqRFI2Lj6lOU8"
"""Made once with the figures of `PasswordVault`: made at each start it would cost one proof."""


class AccountsBusyError(SpoolUnavailableError):
    """Too many proofs at once, or too many wrong ones for this name: the client is told to come back later."""


class PasswordVault:
    """Hashes and verifies passwords off the event loop."""

    def __init__(self) -> None:
        # RFC 9106 §4 and the OWASP figures for a server: 19 MiB, two passes, one lane; some 30 ms.
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="argon2")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The argon2id hash of `password`, encoded with its parameters. Raises AccountsBusyError."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `password` is the one behind `stored`; None never is, and takes as long."""
        too_long = len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD
        tried = "" if too_long else password
        same = await self._run(lambda: self._compare(stored or _DUMMY, tried))
        return same and stored is not None and not too_long

    def close(self) -> None:
        """End the threads; proofs under way finish."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _compare(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise AccountsBusyError("too many proofs of passwords at once")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._done)
        return await future

    def _done(self, _future: asyncio.Future[T]) -> None:
        self._waiting -= 1
