"""What is learnt of a path's rate, and that it is kept to."""

from __future__ import annotations

import itertools

import pytest

from relay.policy.history import WIDTH, History
from relay.policy.rate import PROBE_MESSAGES, Rate, Stage
from relay.policy.reopening import Reopening
from relay.policy.steps import bold, near, slack
from tests.simulation.draws import Course, draw
from tests.simulation.provider import Habits, Provider, ProviderRules


def course(per_minute: float, window: float, penalty: float, connections: int = 5) -> tuple[Course, Provider]:
    rules = ProviderRules("p.example", connections, per_minute, window, penalty, 421, "4.7.0 slow down")
    provider = Provider(rules.domain, Habits(0.03, 0.1), rules)
    return Course(provider), provider


def test_a_path_that_is_never_refused_is_not_slowed() -> None:
    rate = Rate()
    for at in range(1000):
        assert rate.free_at(at) == at
        rate.begins(at)
        rate.accepted(at, at + 1)
    assert rate.stage is Stage.OPEN


def test_after_a_refusal_one_message_at_a_time_asks() -> None:
    rate = Rate()
    for at in range(10):
        rate.accepted(at, at + 0.5)
    rate.refused(10.0, 10.1)
    rate.refused(10.0, 10.2)  # begun before the first refusal was heard: it tells nothing more
    assert rate.stage is Stage.CLOSED
    assert 10 < rate.free_at(10.2) < 12
    rate.begins(12.0)
    assert rate.free_at(100.0) == float("inf")
    rate.ended(12.0)  # its connection was lost: somebody else asks
    assert rate.free_at(100.0) == 100.0
    rate.begins(100.0)
    rate.accepted(100.0, 100.5)
    assert rate.shown().startswith("climbing")
    assert 0.05 < rate.per_second < 0.2  # ten in a hundred seconds, and a step up


@pytest.mark.parametrize(
    ("per_minute", "window", "penalty"),
    [
        (60, 60, 60),
        (60, 60, 0),
        (300, 600, 30),
        (30, 10, 300),
        (240, 1, 10),
        (6, 10, 30),
        (120, 300, 300),
        (4.3, 1, 1800),
        (7.8, 3600, 300),
    ],
)
def test_the_limit_is_found_and_kept_to(per_minute: float, window: float, penalty: float) -> None:
    flow, provider = course(per_minute, window, penalty)
    learning = max(2400.0, 6 * (window + penalty))
    flow.run(learning)
    learnt = provider.tally.copy()
    flow.run(learning + 4800)
    steady = provider.tally.since(learnt)
    assert provider.rules is not None
    allowed = provider.rules.allowance / window * 4800
    assert steady.delivered >= 0.85 * allowed
    assert steady.refused_by_rate <= 0.005 * steady.attempts


def test_a_lower_limit_is_followed_down_and_a_higher_one_up_again() -> None:
    flow, provider = course(120, 60, 10)
    flow.run(3600)
    provider.rules = ProviderRules("p.example", 5, 60, 60, 10, 421, "4.7.0 slow down")
    flow.run(7200)
    before = provider.tally.copy()
    flow.run(10800)
    lower = provider.tally.since(before)
    assert 0.8 * 60 * 60 < lower.delivered <= 60 * 61
    assert lower.refused_by_rate < 0.01 * lower.attempts
    provider.rules = ProviderRules("p.example", 5, 120, 60, 10, 421, "4.7.0 slow down")
    flow.run(10800 + 12 * 3600)
    before = provider.tally.copy()
    flow.run(10800 + 13 * 3600)
    assert provider.tally.since(before).delivered > 0.85 * 120 * 60


def test_probes_become_rarer_with_every_refusal() -> None:
    flow, provider = course(90, 10, 5)
    flow.run(3600)
    refused = [0]
    for hour in range(2, 12):
        flow.run(3600.0 * hour)
        refused.append(provider.tally.refused_by_rate)
    steps = [after - before for before, after in itertools.pairwise(refused)]
    assert sum(steps[-4:]) <= sum(steps[:4])
    assert sum(steps) < 0.002 * provider.tally.attempts
    assert PROBE_MESSAGES >= 200  # one probe and its refusals stay far below 0.5 %


def test_a_draw_is_the_same_every_time() -> None:
    first, again = draw(3), draw(3)
    assert first is not None
    assert again is not None
    assert first.shown() == again.shown()
    assert first.good


def test_the_history_is_short_and_knows_the_past_roughly() -> None:
    history = History()
    for number in range(100_000):
        history.add(number / 10)
    assert sum(map(len, history.levels)) < 16 * (WIDTH + 1)
    assert history.count(9000) == pytest.approx(10_000, rel=0.02)
    assert history.count(5000, 6000) == pytest.approx(10_000, rel=0.05)
    assert history.begin_of(10_000, 10_000) == pytest.approx(9000, abs=30)
    assert history.busiest_start(9990, 10_000, 10) == pytest.approx(9990, abs=1)


def test_a_path_is_asked_again_no_later_than_when_it_took_mail_before() -> None:
    reopening = Reopening()
    reopening.closed(1000.0, gap=0.0, fills=0.0)
    now = 1000.0
    while now < 1100:  # it sulks for a hundred seconds
        now += reopening.pause
        if now < 1100:
            reopening.refused(now)
    first = reopening.opened(now)
    assert 100 <= first <= 125
    for _ in range(4):
        reopening.closed(2000.0, gap=1.0, fills=0.0)
        at, asked = 2000.0 + reopening.pause, 1
        while at < 2100:
            reopening.refused(at)
            at, asked = at + reopening.pause, asked + 1
        assert reopening.opened(at) <= first
        assert asked <= 3


def test_a_step_is_small_where_a_refusal_costs_much() -> None:
    assert bold(question=1, lost=1800) < 1.1 < bold(question=1800, lost=1800) == bold(question=60, lost=0)
    assert slack(question=1, lost=1800) > slack(question=1800, lost=1800)
    assert near(10.0, lost=10) < near(10.0, lost=1800)
