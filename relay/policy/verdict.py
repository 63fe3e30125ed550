"""From an outcome to what we do next: delivered, wait until, bounce, expire. Pure.

A temporary failure waits its turn until the message expires; expiry needs an attempt made, so that a clock
that jumped forward bounces nothing (R27). A permanent reply bounces the recipients it concerns. A host that
refuses the whole session with 5xx (scope HOST or SITE before any recipient was named) is deferred: the mail
is not at fault, and the next try may find another host (A02). A diagnosis may say otherwise: that a 5xx is worth
waiting for, for as long as its patience lasts, or that a 4xx is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from relay.event import EventKind
from relay.policy.outcome import Course, DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.retry import RetrySchedule
from relay.policy.state import State


@dataclass(frozen=True, slots=True)
class Verdict:
    """The next state, when it is due if WAITING, and the event that tells it."""

    state: State
    event: EventKind
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a verdict needs to know of the delivery: attempts including this one, times, and a uniform chance.

    `age` is the time since the message was accepted.
    """

    attempts: int
    now: datetime
    expires_at: datetime
    chance: float
    age: timedelta = timedelta(0)


_SESSION_PHASES: Final = frozenset({Phase.CONNECT, Phase.BANNER, Phase.EHLO, Phase.STARTTLS, Phase.TLS, Phase.AUTH})


def decide(outcome: Outcome, situation: Situation, schedule: RetrySchedule) -> Verdict:
    """What becomes of the delivery after this outcome."""
    match outcome.result:
        case Result.DELIVERED:
            return Verdict(State.DELIVERED, EventKind.DELIVERED)
        case Result.PERMANENT | Result.TEMPORARY if ends(outcome, situation.age):
            return Verdict(State.BOUNCED, EventKind.BOUNCED)
        case Result.PERMANENT | Result.TEMPORARY | Result.UNKNOWN:
            if situation.now >= situation.expires_at:
                return Verdict(State.EXPIRED, EventKind.EXPIRED)
            due = situation.now + schedule.wait(situation.attempts, situation.chance)
            return Verdict(State.WAITING, EventKind.DEFERRED, min(due, situation.expires_at))
        case _:
            assert_never(outcome.result)


def ends(outcome: Outcome, age: timedelta) -> bool:
    """Whether a failure ends a delivery whose message was accepted `age` ago, rather than let it wait."""
    course = outcome.diagnosis.verdict if outcome.diagnosis is not None else Course.AS_SAID
    if outcome.result is not Result.PERMANENT:
        return outcome.result is Result.TEMPORARY and course is Course.BOUNCE
    match course:
        case Course.BOUNCE:
            return True
        case Course.AS_SAID:
            return not _spares_the_mail(outcome)
        case Course.WAIT | Course.REST:
            patience = outcome.diagnosis.patience if outcome.diagnosis is not None else None
            return patience is not None and age >= patience
        case _:
            assert_never(course)


def _spares_the_mail(outcome: Outcome) -> bool:
    """Whether a permanent refusal is about the session and not about this message or recipient."""
    return (
        outcome.decided_by is DecidedBy.REMOTE
        and outcome.phase in _SESSION_PHASES
        and outcome.scope in (Scope.HOST, Scope.SITE, Scope.SOURCE)
    )
