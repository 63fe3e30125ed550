"""How many sessions a path may have, from what it showed."""

from __future__ import annotations

from relay.policy.pace import FIRST_PROBE, LAST_PROBE, START, Pace, starting_pace


def after_successes(pace: Pace, count: int) -> Pace:
    for _ in range(count):
        pace = pace.succeeded()
    return pace


def test_it_starts_small_and_grows_to_the_limit() -> None:
    assert starting_pace(20).window == START
    assert starting_pace(2).window == 2
    assert after_successes(starting_pace(20), 100).window == 20


def test_it_halves_when_nobody_can_be_reached_and_never_ends() -> None:
    pace = after_successes(starting_pace(20), 100)
    assert [pace.failed().window, pace.failed().failed().window] == [10, 5]
    for _ in range(10):
        pace = pace.failed()
    assert pace.window == 1


def test_after_a_refused_session_it_probes_later_each_time() -> None:
    pace = after_successes(starting_pace(20), 3).refused_beyond(6)
    assert pace.window == 6
    assert after_successes(pace, FIRST_PROBE).window == 6
    assert after_successes(pace, FIRST_PROBE + 1).window == 7
    again = after_successes(pace, FIRST_PROBE + 1).refused_beyond(6)
    assert after_successes(again, 2 * FIRST_PROBE).window == 6
    for _ in range(20):
        again = again.refused_beyond(1)
    assert (again.window, again.probe) == (1, LAST_PROBE)
