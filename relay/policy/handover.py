"""Handover: what a worker learnt of a path's pace, in numbers that another one can begin with. Pure.

Each worker has a share of a path, and learns what that share takes. What it passes on is what the whole path would
take, so that shares may be cut anew: a worker that is started, or that comes to the others, begins with its part of it,
and whoever is left with a smaller part goes slower at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from relay.policy.pace import FIRST_PROBE, Pace
from relay.policy.rate import Rate, Stage


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the whole path takes, as far as one worker knows. Rates are messages a minute, spans seconds; 0: unknown."""

    per_minute: float = 0.0
    ceiling: float = 0.0
    """The lowest rate that was refused."""
    horizon: float = 0.0
    penalty: float = 0.0
    sessions: int = 0
    """How many were had when one more was refused."""


def learnt(rate: Rate, pace: Pace, part: float) -> Learnt | None:
    """What a worker with `part` of the path (0 to 1) can pass on; None where nothing ever limited it."""
    sessions = round(pace.window / part) if part and pace.probe > FIRST_PROBE else 0
    if not part or rate.stage is Stage.OPEN or rate.per_second == inf:
        return Learnt(sessions=sessions) if sessions else None
    reached, ceiling = rate.proven or rate.per_second, rate.ceiling
    return Learnt(
        _rounded(60 * reached / part),
        _rounded(60 * ceiling / part) if ceiling < inf else 0.0,
        _rounded(rate.horizon),
        _rounded(rate.penalty),
        sessions,
    )


def typical(found: Sequence[Learnt]) -> Learnt:
    """Of what several workers learnt of one path: what the middle one did, the lower of two."""
    limited = sorted((one for one in found if one.per_minute), key=lambda one: one.per_minute)
    refused = sorted(one.sessions for one in found if one.sessions)
    middle = limited[(len(limited) - 1) // 2] if limited else Learnt()
    return replace(middle, sessions=refused[(len(refused) - 1) // 2] if refused else 0)


def is_new(rate: Rate) -> bool:
    """Whether nothing was sent yet by this rate."""
    return rate.stage is Stage.OPEN and rate.cycle == -inf


def begin(rate: Rate, found: Learnt, part: float, now: float) -> None:
    """Let a new rate begin with its part of what others reached; it climbs from there."""
    if not found.per_minute or not part:
        return
    rate.stage = Stage.CLIMBING
    rate.per_second = rate.proven = found.per_minute * part / 60
    rate.ceiling = found.ceiling * part / 60 or inf
    rate.horizon = max(found.horizon, 1.0)
    rate.penalty = found.penalty
    rate.reopening.shortest = found.penalty or inf
    rate.cycle = rate.since = rate.next_at = now
    rate.sent = rate.taken = 0


def begin_sessions(pace: Pace, found: Learnt, part: float) -> Pace:
    """The pace of a new path with its part of the sessions that others were left with."""
    if not found.sessions or not pace.limit:
        return pace
    window = min(max(1, round(found.sessions * part)), pace.limit)
    return replace(pace, window=window, hold=FIRST_PROBE, probe=2 * FIRST_PROBE)


def cut(rate: Rate, factor: float, now: float) -> None:
    """The worker's part of the path is `factor` times what it was: so are its rates."""
    if rate.stage is Stage.OPEN or rate.per_second == inf or factor == 1:
        return
    rate.per_second *= factor
    rate.proven *= factor
    rate.ceiling *= factor
    rate.burst = 0.0  # so many fitted into the far side's window beside the others' mail of then
    rate.since, rate.sent = now, 0


def _rounded(value: float) -> float:
    """To four digits: a note is written again only when something changed."""
    return float(f"{value:.4g}")
