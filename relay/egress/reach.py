"""Which addresses did not answer lately, and whether a whole IP version seems dead from here (B07).

Stands beside the dialer, which learns it, and speaks to the router, which puts such addresses after a host's
others: an IPv6 black hole costs its seconds once, not at every delivery. Nothing is ever left out for it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from relay.clock import Clock

REMEMBER: Final = 600.0
"""Seconds an address or a family stays behind the others."""
FAMILY_FAILURES: Final = 3
"""Addresses of one family in a row that did not answer before the family itself is suspected."""
MAX_REMEMBERED: Final = 10_000


class ReachMemory:
    """One a worker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._silent: OrderedDict[str, float] = OrderedDict()
        self._in_a_row: dict[int, set[str]] = {4: set(), 6: set()}
        self._family_until: dict[int, float] = {4: 0.0, 6: 0.0}

    def silent(self, address: str) -> None:
        """A connection was neither accepted nor refused."""
        now = self._clock.monotonic()
        self._silent[address] = now + REMEMBER
        self._silent.move_to_end(address)
        if len(self._silent) > MAX_REMEMBERED:
            self._silent.popitem(last=False)
        family = _family(address)
        row = self._in_a_row[family]
        row.add(address)
        if len(row) >= FAMILY_FAILURES:
            self._family_until[family] = now + REMEMBER
            row.clear()

    def answered(self, address: str) -> None:
        """Somebody is there, even if it refused."""
        self._silent.pop(address, None)
        family = _family(address)
        self._in_a_row[family].clear()
        self._family_until[family] = 0.0

    def late(self, address: str) -> bool:
        """Whether the address should come after others of its host."""
        now = self._clock.monotonic()
        return self._silent.get(address, 0.0) > now or self._family_until[_family(address)] > now


def _family(address: str) -> int:
    return 6 if ":" in address else 4
