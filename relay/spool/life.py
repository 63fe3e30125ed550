"""A worker's life as the spool knows it: its terms, how it ends, what its heartbeat tells, what it wants to claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from relay.policy.quarantine import Death
from relay.spool.work import LEASE, Incarnation


@dataclass(frozen=True, slots=True)
class Life:
    """One life of one worker that was not ended; `started` is told by the worker's own clock."""

    incarnation: Incarnation
    node: str
    worker: int
    started: datetime
    place: str
    """Machine and process, for people; empty if it did not say."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a life says of itself when it begins: for how long it may be silent, and where it runs.

    `fell` is how its predecessor ended, if that did not retire.
    """

    lease: timedelta = LEASE
    place: str = ""
    fell: Death = Death.KILLED


class Ending(Enum):
    """Why a life was ended that thought it lived."""

    REPLACED = "replaced"
    """A newer one of the same node and worker has begun, and lives."""
    MISSED = "missed"
    """Others had not heard of it for the time of its lease; nobody took its name."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The answer to a heartbeat: why our life was ended, None if it goes on."""

    ending: Ending | None = None
    by: str = ""
    """The place of the one that replaced us."""
    look_in: float | None = None
    """Seconds until some other life will have been silent for too long, if nothing is heard of it."""


UNBOUNDED: Final[Mapping[str, int]] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a claim asks for: up to `limit` deliveries, none of the domains in `skip`.

    Of each lane of a domain in `most`, at most so many: its path has no use for more now.
    """

    limit: int
    skip: frozenset[str] = frozenset()
    most: Mapping[str, int] = field(default_factory=dict)

    def quotas(self, share: int, domains: Sequence[str]) -> list[int]:
        """How `share` deliveries are divided among lanes of these domains: evenly, surplus to others."""
        caps = [min(self.most.get(domain, share), share) for domain in domains]
        given = [0] * len(caps)
        hungry = [i for i, cap in enumerate(caps) if cap]
        left = share
        while left and hungry:
            each, more = divmod(left, len(hungry))
            for position, i in enumerate(hungry):
                portion = min(each + (position < more), caps[i] - given[i])
                given[i] += portion
                left -= portion
            hungry = [i for i in hungry if given[i] < caps[i]]
        return given
