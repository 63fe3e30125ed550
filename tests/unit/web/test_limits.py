"""Limits in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.ids import SeededEntropy
from tests.support.hand_clock import HandClock
from web.limits import PER_RECIPIENT, PER_SENDER, PREVIEWS, LetterLimits
from web.mailbox import mailbox_of


def test_a_sender_may_send_so_many_letters_within_the_span() -> None:  # S17
    clock = HandClock()
    limits = LetterLimits(clock, SeededEntropy(1))
    assert all(limits.take(b"me", f"r{n}@example.org") is None for n in range(PER_SENDER.count))
    clock.move(600)
    assert limits.take(b"me", "another@example.org") == PER_SENDER.span - timedelta(minutes=10)
    assert limits.take(b"you", "another@example.org") is None
    clock.move(PER_SENDER.span.total_seconds())
    assert limits.take(b"me", "another@example.org") is None


def test_a_thousand_forms_to_one_victim() -> None:  # S17
    limits = LetterLimits(HandClock(), SeededEntropy(1))
    taken = [limits.take(str(n).encode(), "Victim@example.org") is None for n in range(1000)]
    assert sum(taken) == PER_RECIPIENT.count
    assert limits.take(b"new", "victim@EXAMPLE.org") is not None


@pytest.mark.parametrize(
    "written",
    [
        [
            "victim@example.org",
            "victim+1@example.org",
            '"victim"@example.org',
            '"vic\\tim"@Example.org',
            "VICTIM+@example.org",
        ],
        ["j.doe@gmail.com", "jdoe@gmail.com", "J.D.o.e+x.y@googlemail.com", '"j.doe"@gmail.com', "jd.oe@GMail.com"],
        ["+x@example.org", '"+x"@example.org', "+X@example.org", "+x@EXAMPLE.org"],
    ],
)
def test_one_mailbox_is_counted_once_however_it_is_written(written: list[str]) -> None:  # S17
    limits = LetterLimits(HandClock(), SeededEntropy(1))
    taken = [limits.take(str(n).encode(), recipient) is None for n, recipient in enumerate(written)]
    assert taken == [n < PER_RECIPIENT.count for n in range(len(written))]


def test_other_mailboxes_are_counted_apart() -> None:  # S17
    others = ["j.doe@example.org", "jdoe@example.org", "j.doe@gmail.com", "j.doe@gmail.example", '""@example.org']
    assert len({mailbox_of(other) for other in others}) == len(others)


def test_memory_is_bounded_and_holds_no_address() -> None:  # S53
    limits = LetterLimits(HandClock(), SeededEntropy(1), tracked=10)
    for n in range(100):
        limits.take(f"198.51.100.{n}".encode(), f"r{n}@example.org")
    kept = list(limits._letters.times)
    assert len(kept) == 10
    assert all(len(key) == 16 and b"198" not in key for key in kept)


def test_previews_have_a_limit_of_their_own() -> None:  # S50
    clock = HandClock()
    limits = LetterLimits(clock, SeededEntropy(1), tracked=10)
    assert limits.take(b"me", "ann@example.org") is None
    assert sum(limits.take_preview(b"me") is None for _ in range(1000)) == PREVIEWS.count
    for n in range(100):
        assert limits.take_preview(str(n).encode()) is None
    assert len(limits._previews.times) == 10
    assert len(limits._letters.times) == 2
    clock.move(PREVIEWS.span.total_seconds())
    assert limits.take_preview(b"me") is None
