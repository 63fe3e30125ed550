"""Named crash points: the edges of every durable step, at which a test can end the process as a power cut would.

`LEAK_CRASH_POINT=name:hit` in the environment makes the process exit at the hit-th passage of that point, without
cleaning up. Unset, which is always but in tests, a point costs one look at a global.
"""

from __future__ import annotations

import os
from typing import Final

ENVIRONMENT: Final = "LEAK_CRASH_POINT"
EXIT_STATUS: Final = 86

STEPS: Final = ("register", "accept", "claim", "prelude", "settle")
"""The durable steps: each has a point before it, one at the end of its transaction and one after its commit."""

POINTS: Final = (
    *(f"{step}-{edge}" for step in STEPS for edge in ("begun", "written", "committed")),
    "content-read",
    "outcome-known",
)
"""Every point."""


class _Fuse:
    """Counts down to the exit."""

    def __init__(self, text: str) -> None:
        name, _, hit = text.partition(":")
        if name not in POINTS or not hit.isdecimal():
            raise SystemExit(f"{ENVIRONMENT}={text!r}: write NAME:HIT with one of {', '.join(POINTS)}")
        self.name = name
        self.left = int(hit)

    def pass_by(self, name: str) -> None:
        if name == self.name:
            self.left -= 1
            if self.left <= 0:
                os._exit(EXIT_STATUS)


_fuse = _Fuse(os.environ[ENVIRONMENT]) if ENVIRONMENT in os.environ else None


def reach(name: str) -> None:
    """Pass a point of `POINTS`."""
    if _fuse is not None:
        _fuse.pass_by(name)
