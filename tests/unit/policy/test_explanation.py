"""Why a delivery waits, in one sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from relay.policy.explanation import Cause, Stop, WaitingFacts, explain_waiting

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FRESH = WaitingFacts(NOW, NOW, NOW + timedelta(days=5), 0)


def test_what_is_due_waits_for_its_turn() -> None:
    found = explain_waiting(FRESH)
    assert (found.cause, found.until) == (Cause.TURN, NOW)
    assert found.sentence == "the first attempt now, as soon as a worker is free and its path's pace has room"


def test_what_was_handed_in_for_later_waits_for_its_time() -> None:
    found = explain_waiting(replace(FRESH, due=NOW + timedelta(hours=1)))
    assert found.cause is Cause.SCHEDULE
    assert "2026-11-21 13:00:00 UTC" in found.sentence


def test_a_retry_says_why_and_how_long_yet() -> None:
    found = explain_waiting(replace(FRESH, due=NOW + timedelta(minutes=5), attempts=2, words="450 4.2.0 greylisted"))
    assert found.cause is Cause.RETRY
    assert found.sentence.startswith("attempt 3 in 5m, at 2026-11-21 12:05:00 UTC because: 450 4.2.0 greylisted")
    assert "given up in" in found.sentence


def test_a_suspension_that_lasts_longer_than_the_wait_is_the_cause() -> None:
    stop = Stop(NOW + timedelta(hours=2), "rule orange-104: the provider asked for it")
    found = explain_waiting(replace(FRESH, stops=(stop,)))
    assert (found.cause, found.until) == (Cause.SUSPENSION, stop.until)
    assert "rule orange-104" in found.sentence
    later = explain_waiting(replace(FRESH, due=NOW + timedelta(hours=3), attempts=1, stops=(stop,)))
    assert later.cause is Cause.RETRY


def test_a_demand_that_was_not_met_is_told_in_place_of_the_reply() -> None:
    found = explain_waiting(
        replace(FRESH, due=NOW + timedelta(minutes=5), attempts=1, words="451 4.7.5 no", demand="TLS demand `sts` …")
    )
    assert found.cause is Cause.TLS
    assert "because: TLS demand `sts` …" in found.sentence


def test_who_was_never_tried_and_waits_for_a_rest_is_told_what_the_path_rests_for() -> None:
    rest = Stop(NOW + timedelta(hours=2), "550 5.7.1 S3140: your address is on our block list")
    waits = replace(FRESH, due=rest.until + timedelta(minutes=3), rest=rest)
    found = explain_waiting(waits)
    assert (found.cause, found.until) == (Cause.REST, waits.due)
    assert found.sentence == (
        "its path rests until 2026-11-21 14:00:00 UTC because: 550 5.7.1 S3140: your address is on our block list;"
        " the first attempt then"
    )
    assert explain_waiting(replace(waits, due=NOW)).cause is Cause.TURN, "another source may take it"
    assert explain_waiting(replace(waits, due=NOW + timedelta(hours=9), attempts=3)).cause is Cause.RETRY
