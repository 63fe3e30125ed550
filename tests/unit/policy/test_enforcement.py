"""p=reject is proposed after two weeks of aligned mail of ours, and not before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from relay.policy.enforcement import propose
from relay.report.aggregate_reading import DmarcReport, SourceCount

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OURS = "192.0.2.10"


def day(ago: int, *sources: SourceCount) -> DmarcReport:
    begin = int((NOW - timedelta(days=ago)).replace(hour=0).timestamp())
    return DmarcReport("leak.example", "R", begin, begin + 86_399, sources)


def good(days: range) -> list[DmarcReport]:
    return [day(ago, SourceCount(OURS, 50, 0)) for ago in days]


def test_after_fourteen_days_of_aligned_mail() -> None:
    assert propose(good(range(1, 16)), {OURS}, NOW).reject
    assert propose(good(range(1, 16)), (), NOW).reject, "a source that sent aligned mail is ours"


def test_not_sooner() -> None:
    assert not propose([], {OURS}, NOW).reject
    assert not propose(good(range(1, 13)), {OURS}, NOW).reject


def test_one_bad_day_begins_the_count_again() -> None:
    assert not propose([*good(range(1, 30)), day(5, SourceCount(OURS, 50, 3))], {OURS}, NOW).reject
    assert propose([*good(range(1, 30)), day(25, SourceCount(OURS, 0, 30))], {OURS}, NOW).reject
    assert propose([*good(range(1, 30)), day(5, SourceCount(OURS, 500, 1))], {OURS}, NOW).reject, "forwarders exist"


def test_forgers_do_not_count_against_it() -> None:
    assert propose([*good(range(1, 16)), day(1, SourceCount("203.0.113.66", 0, 10_000))], {OURS}, NOW).reject


def test_old_or_scarce_reports_say_nothing() -> None:
    assert not propose(good(range(12, 40)), {OURS}, NOW).reject
    assert not propose([*good(range(15, 16)), *good(range(1, 3))], {OURS}, NOW).reject
    assert not propose(good(range(-30, -1)), {OURS}, NOW).reject, "reports of the future"
