"""Pools: which egress source a message leaves from. Pure.

Stands between the plan and the line of a path. A message keeps its order of sources for as long as its pool is the
same, on whatever node and after whatever restart, because the order is computed from its id: so a greylisted
delivery returns from the source it was greylisted with, and nothing is stored for it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from relay.policy.way import Source

_TWO_TO_64: Final = float(1 << 64)


@dataclass(frozen=True, slots=True)
class Member:
    """A source in a pool; it gets `weight` parts of the pool's mail."""

    source: Source
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Pool:
    """A named set of sources, at least one."""

    name: str
    members: tuple[Member, ...]

    def ranked(self, key: str) -> tuple[Source, ...]:
        """All sources in the order in which the message `key` tries them: first is its own.

        Weighted rendezvous hashing: shares follow the weights, and a source that comes or goes moves only its own
        share of the messages.
        """
        if len(self.members) == 1:
            return (self.members[0].source,)
        return tuple(m.source for m in sorted(self.members, key=lambda m: _distance(key, m)))


def _distance(key: str, member: Member) -> float:
    digest = hashlib.blake2b(f"{key}\0{member.source.name}".encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest) + 1) / (_TWO_TO_64 + 1)
    return -math.log(uniform) / member.weight


@dataclass(frozen=True, slots=True)
class Pools:
    """Every pool, and who uses which: by recipients' domain (a route), else by stream, else by tenant, else `default`.

    `by_tenant` is keyed by the tenant's number in the spool.
    """

    default: Pool
    by_domain: Mapping[str, Pool] = field(default_factory=dict)
    by_stream: Mapping[str, Pool] = field(default_factory=dict)
    by_tenant: Mapping[int, Pool] = field(default_factory=dict)

    def pool(self, domain: str, stream: str, tenant: int) -> Pool:
        """The pool of a message of `tenant` with the label `stream` to recipients at `domain`."""
        return (
            self.by_domain.get(domain)
            or self.by_domain.get("*")
            or (self.by_stream.get(stream) if stream else None)
            or self.by_tenant.get(tenant)
            or self.default
        )

    def warming(self) -> bool:
        """Whether any source is young."""
        return any(member.source.warms_since is not None for pool in self._all() for member in pool.members)

    def may_wait(self, domain: str, stream: str, tenant: int) -> bool:
        """Whether such a message may have to wait for the ceiling of a young source."""
        return any(member.source.warms_since is not None for member in self.pool(domain, stream, tenant).members)

    def _all(self) -> tuple[Pool, ...]:
        return (self.default, *self.by_domain.values(), *self.by_stream.values(), *self.by_tenant.values())

    def names(self) -> frozenset[str]:
        """The names of all sources."""
        return frozenset(member.source.name for pool in self._all() for member in pool.members)


def only(source: Source) -> Pools:
    """One source for everything."""
    return Pools(Pool("default", (Member(source),)))
