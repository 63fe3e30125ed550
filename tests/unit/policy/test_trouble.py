"""When figures, queue, workers and database are worth waking somebody, and when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from relay.policy.alarms import AlarmKind
from relay.policy.trouble import Answers, Backlog, judge_answers, judge_database, judge_queue, judge_workers

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
DEFERRALS = (AlarmKind.DEFERRALS, "google")


def answers(hours_ago: int, delivered: int, deferred: int = 0, bounced: int = 0, **reasons: int) -> Answers:
    counts = {"delivered": delivered, "deferred": deferred, "bounced": bounced}
    at = NOW.replace(minute=0) - timedelta(hours=hours_ago)
    return Answers("google", at, counts, {"bounced": {word.replace("_", "-"): n for word, n in reasons.items()}})


@pytest.mark.parametrize(
    ("story", "stands", "wrong"),
    [
        ([answers(0, 90, 10)], False, False),
        ([answers(0, 60, 40)], False, True),
        ([answers(0, 10, 9)], False, False),  # too few to mean anything
        ([answers(0, 60, 40), answers(30, 700, 300)], False, False),  # as always
        ([answers(0, 5, 95), answers(30, 700, 300)], False, True),
        ([answers(0, 75, 25)], True, True),  # not yet far enough below
        ([answers(0, 85, 15)], True, False),
        ([answers(30, 60, 40)], True, False),  # nothing goes there any more
    ],
)
def test_deferrals(story: list[Answers], stands: bool, wrong: bool) -> None:
    """Against the provider's own past, with some room between the beginning and the end."""
    standing = {DEFERRALS} if stands else set()
    seen = {(one.kind, one.subject): one for one in judge_answers(story, standing, NOW)}
    assert seen[DEFERRALS].wrong is wrong, seen[DEFERRALS].evidence


def test_bounces() -> None:
    seen = {one.kind: one for one in judge_answers([answers(1, 80, 0, 20), answers(50, 990, 0, 10)], set(), NOW)}
    assert seen[AlarmKind.BOUNCES].wrong
    assert "20% of 100" in seen[AlarmKind.BOUNCES].evidence
    assert "1% of 1000" in seen[AlarmKind.BOUNCES].evidence
    assert not seen[AlarmKind.DEFERRALS].wrong


@pytest.mark.parametrize(
    ("reasons", "hours", "identity", "blocklisted"),
    [
        ({"authentication": 2, "reverse_dns": 1}, 0, True, False),
        ({"authentication": 2}, 0, False, False),
        ({"blocklisted": 3}, 1, False, True),
        ({"blocklisted": 30}, 5, False, False),
        ({"unknown_user": 30}, 0, False, False),
    ],
)
def test_words(reasons: dict[str, int], hours: int, identity: bool, blocklisted: bool) -> None:
    """What providers say about who we are, for three hours after they said it."""
    seen = {one.kind: one.wrong for one in judge_answers([answers(hours, 100, **reasons)], set(), NOW)}
    assert (seen[AlarmKind.IDENTITY], seen[AlarmKind.BLOCKLISTED]) == (identity, blocklisted)


def test_queue() -> None:
    """What is due and not sent, unless somebody stopped it."""
    patience = timedelta(minutes=30)
    early, late = NOW + timedelta(hours=1), NOW - timedelta(hours=1)
    fine = [Backlog("a.example", 5, early), Backlog("b.example", 0, late), Backlog("c.example", 1, None)]
    stopped = Backlog("d.example", 9, late, suspended=True)
    assert judge_queue([*fine, stopped], patience, NOW).wrong is False
    seen = judge_queue([*fine, *(Backlog(f"{n}.late.example", n, late) for n in range(1, 8))], patience, NOW)
    assert seen.wrong
    assert "1.late.example (1, since 11-22 11:30)" in seen.evidence
    assert seen.evidence.endswith("and 2 more")


def test_workers() -> None:
    deaths = [NOW - timedelta(minutes=minutes) for minutes in (1, 2, 3)]
    assert judge_workers("mx", deaths[:2], NOW, stands=False).wrong is False
    assert judge_workers("mx", deaths, NOW, stands=False).wrong
    later = NOW + timedelta(minutes=20)
    assert judge_workers("mx", deaths, later, stands=True).wrong
    assert judge_workers("mx", deaths, later, stands=False).wrong is False
    assert judge_workers("mx", deaths, NOW + timedelta(minutes=40), stands=True).wrong is False


@pytest.mark.parametrize(("failures", "wrong"), [(0, False), (1, None), (2, None), (3, True), (9, True)])
def test_database(failures: int, wrong: bool | None) -> None:
    assert judge_database("mx", failures, "away").wrong is wrong
