"""Ways: a plan as it leaves from one of our egress sources. Pure.

`relay.policy.route` decides where a domain's mail goes; here it gets a source, and keeps of the plan's candidates those
that can be reached from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.policy.route import Candidate, Plan


@dataclass(frozen=True, slots=True)
class Source:
    """An egress source: the local address to bind ("" = the system's choice, of either kind) and the EHLO name."""

    name: str
    address: str
    ehlo: str
    warms_since: int | None = None
    """The day, counted from the epoch, on which its warm-up begins; None: it is warm."""

    def sends(self, family: int) -> bool:
        """Whether IP version 4 or 6 can leave from it."""
        return not self.address or family == (6 if ":" in self.address else 4)


@dataclass(frozen=True, slots=True)
class EgressPath:
    """Source × site: what limits, connections, rests and suspensions belong to. `source` is the source's name."""

    site: str
    source: str

    def __str__(self) -> str:
        return f"{self.site} from {self.source}"


@dataclass(frozen=True, slots=True)
class Way:
    """A plan as one source can follow it: of its candidates, those of the IP versions that leave from there."""

    plan: Plan
    source: Source
    candidates: tuple[Candidate, ...]
    relaxed: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()
    """What was tried before in the same attempt, for the transcript."""

    @property
    def path(self) -> EgressPath:
        """What the way's limits belong to."""
        return EgressPath(self.plan.site, self.source.name)


def way_from(source: Source, plan: Plan, families: frozenset[int]) -> Way | None:
    """The way of `plan` from `source`, which may use `families`; None where that leaves no address of those it has."""
    usable = frozenset(family for family in families if source.sends(family))
    if {_version(candidate) for candidate in (*plan.candidates, *plan.relaxed)} <= usable:
        return Way(plan, source, plan.candidates, plan.relaxed)
    candidates = tuple(one for one in plan.candidates if _version(one) in usable)
    relaxed = tuple(one for one in plan.relaxed if _version(one) in usable)
    return Way(plan, source, candidates, relaxed) if candidates or (relaxed and not plan.candidates) else None


def _version(candidate: Candidate) -> int:
    return 6 if ":" in candidate.address else 4
