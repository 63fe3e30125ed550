"""The throttle counts, forgets and stays small (S15)."""

from __future__ import annotations

from relay.account.throttle import Throttle
from tests.support.hand_clock import HandClock


def test_blocks_after_the_limit_and_lets_go_after_the_window() -> None:  # S15
    clock = HandClock()
    throttle = Throttle(clock, limit=3, window=60)
    for _ in range(3):
        assert throttle.wait("ann") == 0
        throttle.count("ann")
    assert 0 < throttle.wait("ann") <= 60
    assert throttle.wait("bob") == 0
    clock.move(60)
    assert throttle.wait("ann") == 0


def test_a_success_is_forgiven() -> None:
    throttle = Throttle(HandClock(), limit=1, window=60)
    for _ in range(10):
        assert throttle.wait("ann") == 0
        throttle.count("ann")
        throttle.forgive("ann")
    throttle.forgive("nobody")


def test_remembers_a_bounded_number_of_subjects() -> None:
    throttle = Throttle(HandClock(), limit=1, window=60, capacity=100)
    for number in range(1000):
        throttle.count(str(number))
    assert sum(throttle.wait(str(number)) > 0 for number in range(1000)) == 100
    assert throttle.wait("999") > 0
