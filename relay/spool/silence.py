"""Who was silent for too long: the judgement by which a vanished machine's leases go to others.

Silence is measured on the watcher's monotonic clock, from looks at everybody's heartbeat. The spool's clock only says
how old a heartbeat was when it was first seen, and is believed for no more than a fraction of the lease: a wall clock
that jumps ends nobody (R27).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from relay.clock import Clock
from relay.spool.work import LEASE

_BELIEVED: Final = 6
"""A heartbeat seen for the first time is at most the sixth part of its lease old: they come as often as that."""

_GAP: Final = 3
"""Where the watcher itself saw nothing for the third part of a lease, silence is counted anew: the database was away,
or the watcher stood still, and the others may have been as well."""


@dataclass(frozen=True, slots=True)
class Beat:
    """The last heartbeat of a life, in milliseconds of the spool's clock, and its lease; None is the default's."""

    life: int
    at: int
    lease: int | None

    @property
    def seconds(self) -> float:
        """For how long it may be silent."""
        return LEASE.total_seconds() if self.lease is None else self.lease / 1000


@dataclass(frozen=True, slots=True)
class Judgement:
    """Who has vanished; `look_in` seconds from now the next one will have, unless it is heard of."""

    vanished: tuple[int, ...]
    look_in: float | None


class Silence:
    """Remembers when each heartbeat was first seen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._looked = float("-inf")
        self._since: dict[int, tuple[int, float]] = {}

    def look(self, beats: Iterable[Beat], now: int) -> Judgement:
        """Judge everybody's last heartbeats; `now` is the spool's clock, in milliseconds."""
        at = self._clock.monotonic()
        gap = at - self._looked
        since: dict[int, tuple[int, float]] = {}
        vanished: list[int] = []
        left: list[float] = []
        for beat in beats:
            begun = self._begun(beat, at, gap, (now - beat.at) / 1000)
            since[beat.life] = (beat.at, begun)
            if at - begun > beat.seconds:
                vanished.append(beat.life)
            else:
                left.append(begun + beat.seconds - at)
        self._looked, self._since = at, since
        return Judgement(tuple(vanished), min(left, default=None))

    def _begun(self, beat: Beat, at: float, gap: float, age: float) -> float:
        """When the silence after a heartbeat began, on our clock."""
        if gap > beat.seconds / _GAP:
            return at
        seen = self._since.get(beat.life)
        if seen is not None and seen[0] == beat.at:
            return seen[1]
        return at - min(max(age, 0.0), gap, beat.seconds / _BELIEVED)
