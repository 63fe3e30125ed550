"""The local parts that choose an outcome, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from relay.lab.behaviour import FLAKY, Behaviour, Manners, Triplet


@dataclass
class HandClock:
    seconds: float = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(1_700_000_000 + self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def who(local: str, sender: str = "a@leak.lab.test") -> Triplet:
    return Triplet("127.0.0.1", sender, f"{local}@inbox.lab.test")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def manners(clock: HandClock) -> Manners:
    return Manners(Behaviour("plain"), clock)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("ok", None),
        ("somebody", None),
        ("unknown", "550 5.1.1"),
        ("unknown+2", "550 5.1.1"),
        ("unknowns", None),
        ("UNKNOWN", "550 5.1.1"),
        ("full", "452 4.2.2"),
        ("grey+", None),
        ("defer+200x3", None),
        ("defer+421x", None),
    ],
)
def test_fixed_outcomes(manners: Manners, local: str, expected: str | None) -> None:
    refusal = manners.receive(who(local)).refusal
    assert (None if refusal is None else str(refusal)[:9]) == expected


def test_greylisting_ends_when_its_time_has_passed(manners: Manners, clock: HandClock) -> None:
    assert "451 4.7.1" in str(manners.receive(who("grey+60")).refusal)
    clock.seconds = 59
    assert manners.receive(who("grey+60")).refusal is not None
    clock.seconds = 60
    assert manners.receive(who("grey+60")).refusal is None
    assert manners.receive(who("grey+60", "other@leak.lab.test")).refusal is not None


def test_a_greylisting_host_greylists_everybody(clock: HandClock) -> None:
    manners = Manners(Behaviour("grey", greylist=10), clock)
    assert manners.receive(who("anybody")).refusal is not None
    clock.seconds = 10
    assert manners.receive(who("anybody")).refusal is None


def test_defer_counts_and_starts_over_for_the_next_letter(manners: Manners) -> None:
    answers = [manners.receive(who("defer+451x2")).refusal for _ in range(6)]
    assert [answer.code if answer else 250 for answer in answers] == [451, 451, 250, 451, 451, 250]
    assert manners.receive(who("defer+550x1")).refusal is not None


def test_slow_and_drop(manners: Manners) -> None:
    assert manners.receive(who("slow+20")).late == 20
    assert manners.receive(who("slow+999")).late == 600
    assert [manners.receive(who("drop-after-dot")).drop_after_dot for _ in range(2)] == [True, False]


def test_memory_is_bounded(manners: Manners, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.lab.behaviour._MAX_REMEMBERED", 10)
    for i in range(50):
        manners.receive(who("grey+60", f"{i}@leak.lab.test"))
        manners.receive(who("defer+421x3", f"{i}@leak.lab.test"))
    assert len(manners._first_seen) == len(manners._counts) == 10


def test_mishaps_come_in_turn(clock: HandClock) -> None:
    manners = Manners(Behaviour("flaky", mishaps=FLAKY), clock)
    assert tuple(manners.next_mishap() for _ in range(2 * len(FLAKY))) == FLAKY * 2
