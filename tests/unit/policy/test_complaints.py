"""When complaints slow or stop a stream (P04): the rates that providers name, with care for small numbers."""

from __future__ import annotations

import random

import pytest

from relay.policy.complaints import BrakeRules, Level, Sample, at_least, harsher, judge, level_of

RULES = BrakeRules()


@pytest.mark.parametrize(
    ("delivered", "complaints", "level"),
    [
        (1000, 0, Level.FREE),
        (1000, 1, Level.FREE),  # one angry reader is no pattern
        (10_000, 9, Level.FREE),
        (10_000, 10, Level.SLOW),
        (10_000, 29, Level.SLOW),
        (10_000, 30, Level.STOP),
        (1000, 3, Level.STOP),  # P04: 0.3 %
        (1000, 2, Level.SLOW),
        (100, 1, Level.FREE),
        (100, 2, Level.SLOW),  # chance alone gives this once in 200 times
        (300, 2, Level.SLOW),
        (400, 2, Level.FREE),  # and this too often to believe it
        (100, 3, Level.STOP),
        (0, 5, Level.STOP),  # complaints about mail of before the window
    ],
)
def test_levels(delivered: int, complaints: int, level: Level) -> None:
    assert level_of(Sample("x", delivered, complaints), RULES) is level


def test_a_good_stream_is_hardly_ever_braked_by_chance_while_it_is_small() -> None:
    chance = random.Random(1)
    braked = 0
    for _ in range(2000):
        delivered = chance.randrange(1, 500)
        complaints = sum(chance.random() < 0.0005 for _ in range(delivered))
        braked += level_of(Sample("x", delivered, complaints), RULES) is not Level.FREE
    assert braked < 2000 * 0.05


def test_the_worst_provider_decides() -> None:
    judgement = judge([Sample("", 20_000, 12), Sample("yahoo", 1000, 12), Sample("google", 19_000, 0)], RULES)
    assert (judgement.level, judgement.sample.provider) == (Level.STOP, "yahoo")
    assert str(judgement) == "12 complaints among 1000 deliveries at yahoo"
    assert judge([], RULES).level is Level.FREE


def test_the_chance_of_so_many() -> None:
    assert at_least(0, 100, 0.1) == pytest.approx(1.0)
    assert at_least(1, 1, 0.25) == pytest.approx(0.25)
    assert at_least(2, 2, 0.5) == pytest.approx(0.25)


def test_a_brake_never_lets_go_by_itself() -> None:
    assert harsher(Level.FREE, Level.SLOW)
    assert harsher(Level.SLOW, Level.STOP)
    assert not harsher(Level.STOP, Level.SLOW)
    assert not harsher(Level.SLOW, Level.SLOW)
