"""Warm-up: a ceiling a day that only good days raise, spread over the day, with a time for whoever has to wait."""

from __future__ import annotations

from dataclasses import replace
from heapq import heapify, heappop, heappush

import pytest

from relay.policy.warm_up import (
    DAY,
    IDLE_DAYS,
    Answered,
    Mark,
    Results,
    Wanted,
    WarmUp,
    WarmUpRules,
    ask,
    judge,
    today,
    turned,
)

RULES = WarmUpRules()
BEGIN = 20_000
MORNING = BEGIN * DAY + 9 * 3600


def new() -> WarmUp:
    return WarmUp(0, BEGIN, fell=BEGIN)


def leave_all_day(state: WarmUp, every: float, begin: float = 0.0) -> tuple[list[float], WarmUp]:
    """One letter comes each `every` seconds from `begin` of the state's day; who waits comes back when told."""
    start, coming = state.day * DAY, []
    moment = begin
    while moment < DAY:
        coming.append((start + moment, False))
        moment += every
    left: list[float] = []
    while coming:
        coming.sort()
        at, promised = coming.pop(0)
        if today(at) != state.day:
            break
        state, (granted,) = ask(state, [Wanted(1, promised)], at, RULES)
        if granted.letters:
            left.append(at)
        else:
            assert granted.departs is not None
            assert granted.departs >= at
            coming.append((max(granted.departs, at + 0.001), True))
    return left, state


@pytest.mark.parametrize("every", [20.0, 600.0, 1728.0])
def test_a_ceiling_is_used_to_the_last_and_never_exceeded(every: float) -> None:
    left, state = leave_all_day(new(), every)
    assert len(left) == state.used == 50


def test_letters_are_spread_over_the_day() -> None:
    left, _ = leave_all_day(new(), 60.0)
    by_quarter = [sum(1 for at in left if int((at % DAY) // 21_600) == quarter) for quarter in range(4)]
    assert all(9 <= letters <= 17 for letters in by_quarter), by_quarter


def test_mail_of_an_afternoon_may_catch_up_but_not_all_at_once() -> None:
    left, state = leave_all_day(new(), 30.0, begin=16 * 3600)
    assert state.used == 50
    first_hour = sum(1 for at in left if at < BEGIN * DAY + 17 * 3600)
    assert first_hour <= 20


def test_who_waits_is_told_when_and_nobody_passes_him() -> None:
    state, answers = ask(new(), [Wanted(1)] * 120, MORNING, RULES)
    departs = [one.departs for one in answers if one.departs is not None]
    assert len(departs) > 110
    assert departs == sorted(departs)
    assert departs[0] > MORNING
    assert state.used + sum(1 for at in departs if at < (BEGIN + 1) * DAY) == 50
    assert sum(1 for at in departs if today(at) == BEGIN + 1) <= 50
    # Later, a newcomer stands behind all who wait, and who was told to come now leaves.
    moment = departs[3] + 0.5
    state, (newcomer, promised) = ask(state, [Wanted(1), Wanted(1, promised=True)], moment, RULES)
    assert newcomer.departs is not None
    assert newcomer.departs > departs[-1]
    assert promised.letters == 1


def test_a_letter_to_many_leaves_in_parts() -> None:
    state, (answer,) = ask(new(), [Wanted(200)], MORNING, RULES)
    assert 0 < answer.letters < 50
    assert answer.departs is not None
    assert state.tail > answer.departs + DAY


@pytest.mark.parametrize(
    ("results", "mark"),
    [
        (Results(50), Mark.GOOD),
        (Results(49, complaints=1), Mark.GOOD),  # one complaint among fifty letters proves nothing
        (Results(48, complaints=2), Mark.BAD),
        (Results(46, deferred=4), Mark.GOOD),  # 8 %, but chance explains it
        (Results(42, deferred=8), Mark.BAD),
        (Results(47, bounced=3), Mark.GOOD),
        (Results(45, bounced=5), Mark.BAD),
        (Results(600, deferred=29), Mark.GOOD),
        (Results(600, deferred=32), Mark.BAD),
        (Results(600, bounced=13), Mark.BAD),
        (Results(1500, complaints=1), Mark.GOOD),
        (Results(1500, complaints=2), Mark.BAD),
    ],
)
def test_a_day_is_bad_when_it_is_certain(results: Results, mark: Mark) -> None:
    tried = results.delivered + results.deferred + results.bounced
    assert judge(Answered(results, results), tried, tried, RULES).mark is mark


def test_a_day_with_little_mail_is_neither_good_nor_bad() -> None:
    assert judge(Answered(Results(20), Results(20)), 20, 50, RULES).mark is Mark.THIN
    assert judge(Answered(Results(5, deferred=15), Results(5)), 20, 50, RULES).mark is Mark.BAD


def after(state: WarmUp, results: Results, used: int, days: int = 1, begins: int = BEGIN) -> WarmUp:
    return turned(replace(state, used=used), state.day + days, Answered(results, results), RULES, begins)


def test_good_days_raise_the_ceiling_and_bad_ones_at_least_halve_it() -> None:
    state = new()
    for _ in range(8):
        state = after(state, Results(state.ceiling(RULES) or 0), state.ceiling(RULES) or 0)
    assert state.ceiling(RULES) == 7500
    assert state.used == 0
    fallen = after(state, Results(5000, deferred=2500), 7500)
    assert fallen.ceiling(RULES) == 3000
    assert fallen.fell == fallen.day
    assert fallen.judgement is not None
    assert fallen.judgement.why == "2500 of 7500 were deferred, 5.0% is the limit"
    assert after(fallen, Results(100), 100).ceiling(RULES) == 3000  # thin
    assert after(new(), Results(0, deferred=50), 50).ceiling(RULES) == 50


def test_past_the_schedule_there_is_no_ceiling() -> None:
    state = after(WarmUp(10, BEGIN), Results(15_000), 15_000)
    assert state.ceiling(RULES) is None
    assert ask(state, [Wanted(100_000)], MORNING + DAY, RULES)[1][0].letters == 100_000


def test_nothing_advances_before_the_day_it_begins() -> None:
    assert after(new(), Results(50), 50, begins=BEGIN + 1).ceiling(RULES) == 50
    assert after(new(), Results(50), 50, begins=BEGIN).ceiling(RULES) == 100


def test_a_source_that_was_silent_for_a_month_begins_anew() -> None:
    assert after(WarmUp(5, BEGIN), Results(1500), 1500, days=IDLE_DAYS + 1).ceiling(RULES) == 50


def test_a_clock_that_goes_back_stops_nobody_for_long() -> None:  # R27
    state = replace(new(), free_at=MORNING + 400 * DAY, used=3)
    state = turned(state, BEGIN - 10, Answered(), RULES, BEGIN)
    state, (answer,) = ask(state, [Wanted(1)], MORNING - 10 * DAY, RULES)
    assert answer.departs is None or answer.departs < MORNING - 8 * DAY


def test_a_ceiling_that_rose_is_used_though_all_who_wait_were_promised_by_a_lower_one() -> None:
    state, coming = new(), [(BEGIN * DAY + number * 144.0, False) for number in range(600 * 8)]
    used: list[tuple[int, int]] = []
    heapify(coming)
    while coming:
        at, promised = heappop(coming)
        if today(at) != state.day:
            used.append((state.used, state.ceiling(RULES) or 0))
            if len(used) == 7:
                break
            results = Results(state.used)
            state = turned(state, today(at), Answered(results, results), RULES, BEGIN)
        state, (granted,) = ask(state, [Wanted(1, promised)], at, RULES)
        if granted.departs is not None:
            heappush(coming, (granted.departs, True))
    assert [ceiling for _, ceiling in used] == [50, 100, 200, 400, 800, 1500, 1500], used
    assert all(2 * left >= min(ceiling, 600) and left <= ceiling for left, ceiling in used), used
