"""What one worker learnt of a path's pace is what another begins with."""

from __future__ import annotations

from math import inf

from relay.policy.handover import Learnt, begin, begin_sessions, cut, is_new, learnt, typical
from relay.policy.pace import Pace, starting_pace
from relay.policy.rate import Rate, Stage
from tests.simulation.draws import Course
from tests.simulation.provider import Habits, Provider, ProviderRules


def limiting(per_minute: float = 60, window: float = 60, penalty: float = 300) -> Provider:
    rules = ProviderRules("p.example", 5, per_minute, window, penalty, 421, "4.7.0 slow down")
    return Provider(rules.domain, Habits(0.03, 0.1), rules)


def test_a_restart_goes_on_at_the_pace_that_was_reached() -> None:
    before = limiting()
    first = Course(before)
    first.run(4 * 3600)
    known = learnt(first.rate, starting_pace(5), 1.0)
    assert known is not None
    assert 50 < known.per_minute < 60

    after = limiting()
    second = Course(after)
    begin(second.rate, known, 1.0, 0.0)
    second.run(3600)
    assert after.tally.refused_by_rate <= 0.005 * after.tally.attempts
    assert after.tally.delivered > 0.85 * 60 * 60
    anew = limiting()
    Course(anew).run(3600)
    assert after.tally.delivered > anew.tally.delivered, "a worker that learns for itself is refused first"


def test_shares_that_are_cut_anew_add_up_to_what_the_path_takes() -> None:
    alone = Rate()
    begin(alone, Learnt(60.0, ceiling=66.0, horizon=60.0, penalty=30.0), 1.0, 0.0)
    known = learnt(alone, starting_pace(5), 1.0)
    assert known is not None
    assert (known.per_minute, known.ceiling) == (60.0, 66.0)
    second = Rate()
    begin(second, known, 0.5, 10.0)
    cut(alone, 0.5, 10.0)
    assert second.per_second + alone.per_second == 1.0
    assert second.ceiling + alone.ceiling == 1.1
    assert not is_new(second)


def test_nothing_is_handed_on_where_nothing_is_known() -> None:
    assert learnt(Rate(), starting_pace(5), 1.0) is None
    fresh = Rate()
    begin(fresh, Learnt(sessions=3), 1.0, 0.0)
    assert fresh.stage is Stage.OPEN
    assert is_new(fresh)
    closed = Rate()
    closed.refused(1.0, 1.1)
    cut(closed, 0.5, 2.0)
    assert closed.per_second == inf
    assert learnt(closed, starting_pace(5), 1.0) is None
    assert learnt(closed, starting_pace(5), 0.0) is None


def test_refused_sessions_are_known_too() -> None:
    pace = Pace(20, 10).refused_beyond(4)
    known = learnt(Rate(), pace, 0.5)
    assert known == Learnt(sessions=8)
    begun = begin_sessions(starting_pace(20), known, 0.25)
    assert begun.window == 2
    assert begun.hold > 0, "it does not ask for one more at once"
    assert begin_sessions(starting_pace(0), known, 0.25) == starting_pace(0)
    assert begin_sessions(starting_pace(5), Learnt(), 1.0) == starting_pace(5)


def test_of_several_the_middle_one_counts_and_the_lower_of_two() -> None:
    slow, middle, fast = Learnt(10.0, sessions=2), Learnt(20.0), Learnt(1000.0, sessions=9)
    assert typical([fast, slow, middle]) == Learnt(20.0, sessions=2)
    assert typical([fast, slow]) == slow
    assert typical([]) == Learnt()
