"""Whom to call about which alarm now: each is told once, and its end once, on every way. Pure.

Between the standing alarms, what each way was told, and whoever makes the calls. An alarm that ended before a way was
told of it is not told at all; too many at once come together in one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relay.clock import has_come

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=1)
GIVEN_UP: Final = timedelta(days=1)
"""After so long the end of an alarm is no news any more."""

Key = tuple[str, str]
"""Kind and subject."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm as it stands."""

    since: datetime
    evidence: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a way knows of an alarm: `at` is when it was told, None while it was not; not again before `next_at`."""

    since: datetime
    evidence: str
    at: datetime | None
    ended: datetime | None
    """When the end was noticed, None while it stands."""
    failures: int
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """One thing to tell: an alarm, or with `ended` its end. `more` counts what one call tells beside it."""

    kind: str
    subject: str
    since: datetime
    evidence: str
    ended: datetime | None = None
    more: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done for a way now: calls to make, and what is to be forgotten without a word."""

    calls: tuple[Call, ...]
    forget: tuple[Key, ...]


def due(standing: Mapping[Key, Standing], told: Mapping[Key, Told], now: datetime) -> Due:
    """The calls of one way, the oldest first."""
    calls: list[Call] = []
    forget: list[Key] = []
    for key, alarm in standing.items():
        known = told.get(key)
        if known is None or (
            has_come(known.next_at, now, LONGEST_PAUSE) and (known.at is None or known.since != alarm.since)
        ):
            calls.append(Call(*key, alarm.since, alarm.evidence))
    for key, known in told.items():
        if key in standing:
            continue
        if known.at is None or (known.ended is not None and now - known.ended > GIVEN_UP):
            forget.append(key)
        elif has_come(known.next_at, now, LONGEST_PAUSE):
            calls.append(Call(*key, known.since, known.evidence, known.ended or now))
    return Due(tuple(sorted(calls, key=lambda call: (call.since, call.kind, call.subject))), tuple(forget))


def gather(calls: Sequence[Call], made: Sequence[datetime], most: int, now: datetime) -> list[Call]:
    """At most `most` calls an hour, `made` being those before: the last one that fits takes all that do not."""
    room = most - sum(1 for moment in made if timedelta() <= now - moment < timedelta(hours=1))
    if room <= 0:
        return []
    if len(calls) <= room:
        return list(calls)
    first = calls[room - 1]
    rest = tuple((call.kind, call.subject) for call in calls[room:])
    together = Call(first.kind, first.subject, first.since, first.evidence, first.ended, rest)
    return [*calls[: room - 1], together]


def pause(failures: int) -> timedelta:
    """How long to wait after so many failures in a row."""
    return min(FIRST_PAUSE * (1 << min(failures - 1, 10)), LONGEST_PAUSE)
