"""Who is called about what: each alarm once, each end once, too many at once in one call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from relay.policy.alarms import ABOUT, AlarmKind, remedy_of
from relay.policy.calling import Call, Standing, Told, due, gather, pause

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = ("ptr", "192.0.2.1")
ALARM = Standing(NOW - timedelta(minutes=5), "no PTR record")


def told(**changes: object) -> Told:
    values: dict[str, object] = {
        "since": ALARM.since,
        "evidence": ALARM.evidence,
        "at": NOW,
        "ended": None,
        "failures": 0,
        "next_at": NOW,
        **changes,
    }
    return Told(**values)  # type: ignore[arg-type]


def test_a_new_alarm_is_told_once() -> None:
    found = due({KEY: ALARM}, {}, NOW)
    assert [(call.kind, call.subject, call.ended) for call in found.calls] == [(*KEY, None)]
    assert not due({KEY: ALARM}, {KEY: told()}, NOW).calls


def test_the_end_is_told_once_and_only_if_the_alarm_was() -> None:
    assert [call.ended for call in due({}, {KEY: told()}, NOW).calls] == [NOW]
    unheard = due({}, {KEY: told(at=None)}, NOW)
    assert unheard.calls == ()
    assert unheard.forget == (KEY,)


def test_a_failed_call_waits_its_time() -> None:
    later = told(at=None, failures=1, next_at=NOW + timedelta(seconds=1))
    assert not due({KEY: ALARM}, {KEY: later}, NOW).calls
    assert due({KEY: ALARM}, {KEY: later}, NOW + timedelta(seconds=1)).calls


def test_an_alarm_that_came_again_is_told_again() -> None:
    again = Standing(NOW, "no PTR record")
    assert due({KEY: again}, {KEY: told()}, NOW).calls[0].since == NOW


def test_an_end_nobody_could_be_told_of_is_given_up() -> None:
    old = told(ended=NOW - timedelta(days=2), next_at=NOW + timedelta(hours=1))
    assert due({}, {KEY: old}, NOW).forget == (KEY,)


def test_too_many_come_together() -> None:
    calls = [Call("spf", str(number), NOW, "") for number in range(50)]
    made = [NOW - timedelta(minutes=1)] * 27 + [NOW - timedelta(hours=2)] * 9
    some = gather(calls, made, 30, NOW)
    assert len(some) == 3
    assert [len(call.more) for call in some] == [0, 0, 47]
    assert gather(calls, [NOW] * 30, 30, NOW) == []
    assert gather(calls[:3], made, 30, NOW) == calls[:3]
    assert gather(calls[:3], [NOW + timedelta(days=3650)] * 30, 30, NOW) == calls[:3], "the clock was set back since"


def test_pauses_grow_and_end() -> None:
    assert [pause(n).total_seconds() for n in (1, 2, 3, 50)] == [30, 60, 120, 3600]


def test_every_kind_says_what_to_do() -> None:
    assert set(ABOUT) == set(AlarmKind)
    for about in ABOUT.values():
        assert about.means
        assert about.remedy
        assert about.ends
    assert remedy_of("a kind of tomorrow") == ""
