"""Who is suppressed, by whose word and for how long (G13, N02, P05)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from relay.policy.suppress import (
    Mark,
    Reason,
    Refused,
    Strikes,
    SuppressionRules,
    bounce_reason,
    feedback_reason,
    in_force,
    strike,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = SuppressionRules()


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (Refused("unknown-user", "recipient", True), Reason.HARD_BOUNCE),
        (Refused("inactive", "recipient", True), Reason.HARD_BOUNCE),
        (Refused("unknown-user", "recipient", False), None),  # a 4xx is no proof
        (Refused("mailbox-full", "recipient", False), Reason.SOFT_BOUNCE),
        (Refused("mailbox-full", "recipient", True), Reason.SOFT_BOUNCE),
        (Refused("blocked", "source", True), None),  # P05
        (Refused("unknown-user", "source", True), None),
        (Refused("spam-content", "message", True), None),
        (Refused("policy", "recipient", True), None),
        (Refused("rate", "site", False), None),
        (Refused("unclassified", "message", True), None),
    ],
)
def test_only_what_is_about_the_address_counts_against_it(refused: Refused, reason: Reason | None) -> None:
    assert bounce_reason(refused) is reason


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("abuse", Reason.COMPLAINT),
        ("Fraud", Reason.COMPLAINT),
        ("opt-out", Reason.OPT_OUT),
        ("not-spam", None),
        ("auth-failure", None),
        ("other", None),
    ],
)
def test_only_a_complaint_is_a_complaint(word: str, reason: Reason | None) -> None:  # N02
    assert feedback_reason(word) is reason


def test_a_host_s_word_holds_longer_each_time_and_a_person_s_for_good() -> None:
    assert RULES.hold(Reason.HARD_BOUNCE, 1) == timedelta(days=90)
    assert RULES.hold(Reason.HARD_BOUNCE, 2) == timedelta(days=180)
    assert RULES.hold(Reason.HARD_BOUNCE, 99) == RULES.longest
    assert RULES.hold(Reason.SOFT_BOUNCE, 1) == timedelta(days=14)
    for reason in (Reason.COMPLAINT, Reason.OPT_OUT, Reason.MANUAL):
        assert RULES.hold(reason, 1) is None


def test_soft_bounces_suppress_when_they_are_many_and_spread() -> None:
    strikes: Strikes | None = None
    for hour in range(10):  # one bad afternoon
        strikes, suppresses = strike(strikes, NOW + timedelta(hours=hour), RULES)
        assert not suppresses
    strikes, suppresses = strike(strikes, NOW + timedelta(days=4), RULES)
    assert suppresses


def test_soft_bounces_long_ago_are_forgotten() -> None:
    strikes: Strikes | None = None
    for month in range(12):
        strikes, suppresses = strike(strikes, NOW + timedelta(days=31 * month), RULES)
        assert (strikes.times, suppresses) == (1, False)


def mark(reason: Reason, tenant: int = 1, stream: str = "", days: int | None = None) -> Mark:
    return Mark(reason, tenant, stream, None if days is None else NOW + timedelta(days=days), NOW)


@pytest.mark.parametrize(
    ("marks", "stops"),
    [
        ([], None),
        ([mark(Reason.HARD_BOUNCE, days=1)], Reason.HARD_BOUNCE),
        ([mark(Reason.HARD_BOUNCE, days=-1)], None),
        ([mark(Reason.OPT_OUT, tenant=2)], None),
        ([mark(Reason.OPT_OUT, tenant=0)], Reason.OPT_OUT),
        ([mark(Reason.OPT_OUT, stream="news")], None),
        ([mark(Reason.OPT_OUT, stream="letters")], Reason.OPT_OUT),
        ([mark(Reason.HARD_BOUNCE, days=1), mark(Reason.ALLOWED)], None),
        ([mark(Reason.OPT_OUT), mark(Reason.ALLOWED)], Reason.OPT_OUT),
        ([mark(Reason.HARD_BOUNCE, days=1), mark(Reason.COMPLAINT)], Reason.COMPLAINT),
    ],
)
def test_what_stops_mail(marks: list[Mark], stops: Reason | None) -> None:
    found = in_force(marks, 1, "letters", NOW)
    assert (found.reason if found else None) is stops
