"""No core dump: what is in memory alone (who writes a letter, the keys that count senders) must not come to a disk.

Ground of every command, whoever starts it; a service manager's own limit may be stricter.
"""

from __future__ import annotations

import resource
from typing import Final

_MOST: Final = 1
"""Octets. No dump is so small, and at 1, unlike 0, Linux starts no program that `kernel.core_pattern` names either."""


def leave_no_core() -> None:
    """This process leaves no core dump, nor does any that it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(_MOST, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
