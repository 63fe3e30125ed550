"""Why a delivery has not left, and what happens next: one sentence, and the same as data. Pure.

Asked by the command, the API and whoever shows a message; all of them say the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from relay.units import format_duration

_AFTER_REST: Final = timedelta(minutes=10)
"""What waits for the end of a rest is due within so long after it, not all of it at once."""


class Cause(StrEnum):
    """What a waiting delivery waits for."""

    SUSPENSION = "suspension"
    """Its path is stopped: by an operator, or by a rule about a provider's reply."""
    REST = "rest"
    """Its path rests after what another attempt met: a site that is dead, or that refuses our address."""
    CEILING = "ceiling"
    """The warm-up of its source has no room before then."""
    TLS = "tls"
    """The last attempt met less TLS than was demanded; its next one has a time."""
    RETRY = "retry"
    """The last attempt failed for now; its next one has a time."""
    SCHEDULE = "schedule"
    """It was handed in to leave later."""
    TURN = "turn"
    """It is due: a worker takes it as soon as its path's pace and limits have room."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A suspension that a delivery falls under."""

    until: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class WaitingFacts:
    """What is known of a delivery that waits; `words` are those of its last refusal, "" if there was none."""

    now: datetime
    due: datetime
    expires_at: datetime
    attempts: int
    words: str = ""
    stops: Sequence[Stop] = ()
    ceiling: Stop | None = None
    """The departure it was told, and which warm-up stands against an earlier one."""
    demand: str = ""
    """The TLS demand that its last attempt could not meet, whose it is and what was missing, in words."""
    rest: Stop | None = None
    """The rest of a path to its site, and what it rests for."""
    pace: str = ""
    """What was learnt of the rate that its site takes, in words; "" where nothing limits it."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why it waits, until when at least, and the sentence."""

    cause: Cause
    until: datetime
    sentence: str


def explain_waiting(facts: WaitingFacts) -> Explanation:
    """Why a WAITING delivery has not left, and what happens next."""
    stop = max(facts.stops, key=lambda one: one.until, default=None)
    number = facts.attempts + 1
    begin = f"attempt {number}" if facts.attempts else "the first attempt"
    left = f"; given up in {format_duration(facts.expires_at - facts.now)}" if facts.attempts else ""
    said = facts.demand or facts.words
    because = f" because: {said}" if said and facts.attempts else ""
    if stop is not None and stop.until >= facts.due:
        why = f" because: {stop.reason}" if stop.reason else ""
        sentence = f"its path is suspended until {_time(stop.until)}{why}; {begin} then"
        return Explanation(Cause.SUSPENSION, stop.until, sentence + left)
    ceiling = facts.ceiling
    if ceiling is not None and facts.due > facts.now:
        when = f"leaves in {format_duration(facts.due - facts.now)}, at {_time(facts.due)}"
        return Explanation(Cause.CEILING, facts.due, f"{when}: {ceiling.reason}")
    rest = facts.rest
    if rest is not None and rest.until > facts.now and timedelta() <= facts.due - rest.until <= _AFTER_REST:
        sentence = f"its path rests until {_time(rest.until)} because: {rest.reason}; {begin} then"
        return Explanation(Cause.REST, facts.due, sentence + left)
    if facts.due > facts.now:
        tried = Cause.TLS if facts.demand else Cause.RETRY
        cause = tried if facts.attempts else Cause.SCHEDULE
        when = f"in {format_duration(facts.due - facts.now)}, at {_time(facts.due)}"
    else:
        cause = Cause.TURN
        learnt = f" ({facts.pace})" if facts.pace else ""
        when = f"now, as soon as a worker is free and its path's pace has room{learnt}"
    return Explanation(cause, facts.due, f"{begin} {when}{because}{left}")


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
