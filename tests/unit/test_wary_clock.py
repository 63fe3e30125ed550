"""How far the wall clock may be ahead, of a clock that was set, slept, or was wrong before anybody looked (R27)."""

from __future__ import annotations

from datetime import timedelta

from relay.clock import has_come
from relay.wary_clock import WaryClock
from tests.support.hand_clock import HandClock

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = timedelta(days=365)


def test_time_that_passes_and_small_corrections_are_believed() -> None:
    clock = HandClock()
    wary = WaryClock(clock)
    for _ in range(30):
        clock.move(DAY.total_seconds())
        clock.jump(1800)
        assert not wary.lead()


def test_a_clock_put_ahead_is_believed_after_a_day() -> None:
    clock = HandClock()
    wary = WaryClock(clock)
    clock.jump(YEAR.total_seconds())
    assert wary.lead() == YEAR
    clock.move(DAY.total_seconds() - 1)
    assert wary.lead() == YEAR
    clock.move(2)
    assert not wary.lead()


def test_a_clock_put_right_again_is_believed_at_once() -> None:
    clock = HandClock()
    wary = WaryClock(clock)
    clock.jump(YEAR.total_seconds())
    assert wary.lead()
    clock.jump(-YEAR.total_seconds() + 60)
    assert not wary.lead()
    clock.jump(2 * YEAR.total_seconds())
    assert wary.lead() == 2 * YEAR + timedelta(minutes=1), "against the earliest it said in the last day"


def test_a_clock_set_back_is_behind_and_harms_nothing() -> None:
    clock = HandClock()
    wary = WaryClock(clock)
    clock.jump(-YEAR.total_seconds())
    assert not wary.lead()
    clock.move(60)
    clock.jump(YEAR.total_seconds())
    assert wary.lead() == YEAR, "which of the two was wrong is not known"


def test_a_clock_that_swings_fills_no_memory() -> None:
    clock = HandClock()
    wary = WaryClock(clock)
    for turn in range(1000):
        clock.jump(YEAR.total_seconds() * (-1) ** turn)
        clock.move(10)
        wary.lead()
    assert len(wary._left) <= 2


def test_a_process_begins_where_the_one_before_it_was_last_alive() -> None:
    clock = HandClock()
    alive = clock.now()
    clock.move(YEAR.total_seconds())
    wary = WaryClock(clock)
    wary.heed(alive)
    assert wary.lead() == YEAR
    clock.move(DAY.total_seconds() + 1)
    assert not wary.lead(), "it was off for a year"


def test_a_restart_after_hours_or_of_a_new_machine_says_nothing() -> None:
    clock = HandClock()
    wary = WaryClock(clock)
    wary.heed(None)
    wary.heed(clock.now() - 23 * HOUR)
    wary.heed(clock.now() + YEAR)
    assert not wary.lead()


def test_a_time_that_nobody_would_wait_for_has_come() -> None:
    now, furthest = HandClock().now(), 2 * HOUR
    ahead = {-HOUR: True, timedelta(): True, timedelta(seconds=1): False, 2 * HOUR: False, 3 * HOUR: True, YEAR: True}
    assert {wait: has_come(now + wait, now, furthest) for wait in ahead} == ahead


def test_one_process_has_one() -> None:
    wary = WaryClock(HandClock())
    assert WaryClock.of(wary) is wary
