"""From outcomes to verdicts, when to try again, and how fast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from relay.event import EventKind
from relay.policy.outcome import DecidedBy, Outcome, Phase, Result, Scope
from relay.policy.pace import START, starting_pace
from relay.policy.retry import RetrySchedule
from relay.policy.state import TRANSITIONS, State, may_become
from relay.policy.verdict import Situation, decide
from relay.smtp.reply import reply

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SCHEDULE = RetrySchedule((timedelta(minutes=5), timedelta(minutes=30)), 0.5)
DAY = timedelta(days=1)


def outcome(result: Result, phase: Phase = Phase.RCPT, scope: Scope = Scope.RECIPIENT) -> Outcome:
    return Outcome(result, scope, phase, DecidedBy.REMOTE, reply(550, "5.0.0", "no"))


def situation(attempts: int = 1, expires: timedelta = DAY, chance: float = 0.0) -> Situation:
    return Situation(attempts, NOW, NOW + expires, chance)


def test_a_temporary_failure_waits_its_turn() -> None:
    verdict = decide(outcome(Result.TEMPORARY), situation(attempts=2), SCHEDULE)
    assert (verdict.state, verdict.event, verdict.due) == (
        State.WAITING,
        EventKind.DEFERRED,
        NOW + timedelta(minutes=30),
    )


def test_an_unknown_result_is_tried_again() -> None:
    # A16: silence after the dot is no delivery and no refusal
    assert decide(outcome(Result.UNKNOWN, Phase.DOT), situation(), SCHEDULE).state is State.WAITING


def test_nothing_waits_past_its_expiry_and_expiry_needs_an_attempt() -> None:
    # R27: the last try is at the expiry itself; only a failure after it ends the delivery
    verdict = decide(outcome(Result.TEMPORARY), situation(expires=timedelta(seconds=1)), SCHEDULE)
    assert verdict.due == NOW + timedelta(seconds=1)
    ended = decide(outcome(Result.TEMPORARY), situation(expires=timedelta()), SCHEDULE)
    assert (ended.state, ended.event, ended.due) == (State.EXPIRED, EventKind.EXPIRED, None)
    assert decide(outcome(Result.DELIVERED), situation(expires=-DAY), SCHEDULE).state is State.DELIVERED


@pytest.mark.parametrize(
    ("phase", "scope", "state"),
    [
        (Phase.RCPT, Scope.RECIPIENT, State.BOUNCED),
        (Phase.MAIL, Scope.MESSAGE, State.BOUNCED),
        (Phase.DOT, Scope.MESSAGE, State.BOUNCED),
        (Phase.ROUTE, Scope.SITE, State.BOUNCED),
        (Phase.BANNER, Scope.HOST, State.WAITING),  # A02: 554 in the banner is about the session
        (Phase.EHLO, Scope.HOST, State.WAITING),
        (Phase.AUTH, Scope.SITE, State.WAITING),
        (Phase.EHLO, Scope.MESSAGE, State.BOUNCED),
    ],
)
def test_a_permanent_refusal_bounces_the_mail_it_concerns(phase: Phase, scope: Scope, state: State) -> None:
    assert decide(outcome(Result.PERMANENT, phase, scope), situation(), SCHEDULE).state is state


def test_waits_grow_the_last_one_repeats_and_jitter_only_adds() -> None:
    assert [SCHEDULE.wait(n, 0.0) for n in (0, 1, 2, 9)] == [
        timedelta(minutes=5),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(minutes=30),
    ]
    assert SCHEDULE.wait(1, 0.5) == timedelta(minutes=5) * 1.25


def test_the_pace_grows_by_one_and_halves_down_to_one() -> None:
    pace = starting_pace(7)
    assert pace.window == START
    for _ in range(5):
        pace = pace.succeeded()
    assert pace.window == 7
    windows = []
    for _ in range(4):
        pace = pace.failed()
        windows.append(pace.window)
    assert windows == [3, 1, 1, 1]
    assert starting_pace(2).window == 2


def test_final_states_stay_final_but_a_delivery_may_return() -> None:
    for state in State:
        assert state.final == (TRANSITIONS[state] <= {State.RETURNED} and state is not State.WAITING)
    assert may_become(State.DELIVERED, State.RETURNED)
    assert not may_become(State.BOUNCED, State.WAITING)
    assert not may_become(State.WAITING, State.DELIVERED)
