"""For the R33 tests alone: with this folder on PYTHONPATH, mail that says `X-Poison: kill` ends whoever handles it.

It stands for a fault in a library's machine code, which Python cannot catch.
"""

import os
import signal
from typing import Any

if os.environ.get("LEAK_TEST_POISON"):
    from relay.engine import sorter
    from relay.engine.attempt import Attempter

    whole = Attempter.attempt

    async def deadly(self: Attempter, parcel: Any, content: Any, *more: Any) -> Any:
        """As `Attempter.attempt`, but for the poison."""
        if any(b"X-Poison: kill" in piece for piece in (content.prelude, content.head)):
            os.kill(os.getpid(), signal.SIGSEGV)
        return await whole(self, parcel, content, *more)

    Attempter.attempt = deadly  # type: ignore[method-assign, assignment]

    read = sorter.read_report  # type: ignore[attr-defined]

    def deadly_to_read(raw: bytes, *more: Any) -> Any:
        """As `read_report`, but for the poison."""
        if b"X-Poison: kill" in raw:
            os.kill(os.getpid(), signal.SIGSEGV)
        return read(raw, *more)

    sorter.read_report = deadly_to_read  # type: ignore[attr-defined, assignment]
