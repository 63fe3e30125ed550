"""Warm-ups as rows: read, decided about and written in a transaction of the caller's, in SQL every database knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from relay.clock import from_millis
from relay.database.contract import Connection
from relay.policy.lessons import Trial, TrialKind
from relay.policy.warm_up import (
    MEMORY_DAYS,
    Answered,
    Judgement,
    Mark,
    Results,
    Wanted,
    WarmUp,
    ask,
    today,
    turned,
)
from relay.shaping.contract import Answer, Forecast, Question, Unused, WarmUpKey, WarmUpView

_STATE: Final = "step, day, used, free_at, tail, fell, mark, why"


def answer(connection: Connection, questions: Sequence[Question], now: float) -> list[Answer]:
    """The answers to questions about one warm-up."""
    first = questions[0]
    row, state = _opened(connection, first, today(now))
    answered = _results(connection, row, state)
    state = turned(state, today(now), answered, first.rules, first.begins)
    wanted = [Wanted(one.letters, one.promised) for one in questions]
    state, granted = ask(state, wanted, now, first.rules)
    _write(connection, row, state, state.ceiling(first.rules))
    return [
        Answer(row, state.day, one.letters, None if one.departs is None else from_millis(int(one.departs * 1000)))
        for one in granted
    ]


def _opened(connection: Connection, question: Question, day: int) -> tuple[int, WarmUp]:
    """The row of a warm-up, locked, a new one if there is none; begun anew if the setting names another day."""
    key = question.key
    found = list(
        connection.execute(
            "INSERT INTO warm_up (domain, source, version, provider, begins, step, day, used, free_at, tail, fell,"  # noqa: S608
            " mark, why) VALUES (?, ?, ?, ?, ?, 0, ?, 0, 0, 0, ?, '', '')"
            " ON CONFLICT (domain, source, version, provider) DO UPDATE SET used = warm_up.used"
            f" RETURNING id, begins, {_STATE}",
            (*key, question.begins, day, day),
        )
    )
    row, begins, *rest = found[0]
    if begins != question.begins:
        connection.execute("UPDATE warm_up SET begins = ? WHERE id = ?", (question.begins, row))
        return row, WarmUp(0, day, fell=day)
    return row, _state(rest)


def _state(columns: Sequence[Any]) -> WarmUp:
    step, day, used, free_at, tail, fell, mark, why = columns
    judgement = Judgement(Mark(mark), why) if mark else None
    return WarmUp(step, day, used, free_at / 1000, tail / 1000, fell, judgement)


def _write(connection: Connection, row: int, state: WarmUp, ceiling: int | None) -> None:
    judgement = state.judgement
    connection.execute(
        "UPDATE warm_up SET step = ?, day = ?, used = ?, free_at = ?, tail = ?, fell = ?, mark = ?, why = ?,"
        " ceiling = ? WHERE id = ?",
        (
            state.step,
            state.day,
            state.used,
            int(state.free_at * 1000),
            int(state.tail * 1000),
            state.fell,
            judgement.mark.value if judgement else "",
            judgement.why if judgement else "",
            ceiling or 0,
            row,
        ),
    )


def _results(connection: Connection, row: int, state: WarmUp) -> Answered:
    """What was answered on the state's day, and on the last days together."""
    since = max(state.day - MEMORY_DAYS + 1, state.fell)
    day, recent = Results(), Results()
    for of, *counts in connection.execute(
        "SELECT day, delivered, deferred, bounced, complaints FROM warm_up_day WHERE warm_up = ? AND day >= ?",
        (row, min(since, state.day)),
    ):
        results = Results(*counts)
        if of == state.day:
            day = results
        if of >= since:
            recent += results
    return Answered(day, recent)


def forecast(connection: Connection, question: Question, now: float) -> Forecast:
    """What an answer would be, with nothing written."""
    day = today(now)
    row, state = 0, WarmUp(0, day, fell=day)
    for row, begins, *rest in connection.execute(  # noqa: B007 - at most one
        f"SELECT id, begins, {_STATE} FROM warm_up"  # noqa: S608 - names of ours
        " WHERE domain = ? AND source = ? AND version = ? AND provider = ?",
        tuple(question.key),
    ):
        state = _state(rest) if begins == question.begins else state
    answered = _results(connection, row, state)
    state = turned(state, day, answered, question.rules, question.begins)
    ceiling = state.ceiling(question.rules)
    if ceiling is None:
        return Forecast(None, None)
    _, (granted,) = ask(state, [Wanted(1)], now, question.rules)
    departs = None if granted.departs is None else from_millis(int(granted.departs * 1000))
    return Forecast(max(0, ceiling - state.used), departs, ceiling)


def give_back(connection: Connection, unused: Unused) -> None:
    """Letters that did not leave count no more, on the day they were counted on."""
    connection.execute(
        "UPDATE warm_up SET used = CASE WHEN used > ? THEN used - ? ELSE 0 END WHERE id = ? AND day = ?",
        (unused.letters, unused.letters, unused.row, unused.day),
    )


_COLUMNS: Final = {
    TrialKind.DELIVERED: "delivered",
    TrialKind.DEFERRED: "deferred",
    TrialKind.BOUNCED: "bounced",
    TrialKind.COMPLAINED: "complaints",
}


def add_trials(connection: Connection, trials: Iterable[Trial]) -> None:
    """Count what providers answered to letters that left by a warm-up."""
    counts: dict[tuple[int, int], dict[TrialKind, int]] = {}
    for trial in trials:
        for (row,) in connection.execute(
            "SELECT d.warm_up FROM message m JOIN delivery d ON d.message = m.seq"
            " WHERE m.id = ? AND d.n = ? AND d.warm_up > 0 AND d.promised IS NULL",
            (trial.message, trial.n),
        ):
            counted = counts.setdefault((row, today(trial.at.timestamp())), {})
            counted[trial.kind] = counted.get(trial.kind, 0) + 1
    for (row, day), counted in sorted(counts.items()):
        added = [counted.get(kind, 0) for kind in _COLUMNS]
        connection.execute(
            "INSERT INTO warm_up_day (warm_up, day, delivered, deferred, bounced, complaints) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (warm_up, day) DO UPDATE SET delivered = warm_up_day.delivered + excluded.delivered,"
            " deferred = warm_up_day.deferred + excluded.deferred, bounced = warm_up_day.bounced + excluded.bounced,"
            " complaints = warm_up_day.complaints + excluded.complaints",
            (row, day, *added),
        )


def any_warm_up(connection: Connection) -> bool:
    """Whether there is any warm-up at all."""
    return any(True for _ in connection.execute("SELECT 1 FROM warm_up LIMIT 1"))


_VIEWS: Final = (
    f"SELECT w.id, w.domain, w.source, w.version, w.provider, w.begins, w.ceiling, {_STATE}, d.delivered,"  # noqa: S608
    " d.deferred, d.bounced, d.complaints FROM warm_up w LEFT JOIN (SELECT warm_up, day AS counted_on, delivered,"
    " deferred, bounced, complaints FROM warm_up_day) d ON d.warm_up = w.id AND d.counted_on = ?"
    " ORDER BY w.source, w.version, w.domain, w.provider"
)


def warm_ups(connection: Connection, now: datetime) -> list[WarmUpView]:
    """Every warm-up, as it stood when it was last asked."""
    day = today(now.timestamp())
    rows = connection.execute(_VIEWS, (day,))
    return [_view(row, day, now) for row in rows]


def _view(columns: Sequence[Any], day: int, now: datetime) -> WarmUpView:
    row, domain, source, version, provider, begins, ceiling, *rest = columns
    state, counts = _state(rest[:8]), rest[8:]
    judgement = state.judgement
    return WarmUpView(
        row,
        WarmUpKey(domain, source, version, provider),
        state.step + 1,
        ceiling or None,
        state.day,
        state.used if state.day == day else 0,
        begins,
        from_millis(int(state.tail * 1000)) if state.tail > now.timestamp() else None,
        judgement.mark if judgement else None,
        judgement.why if judgement else "",
        Results() if counts[0] is None else Results(*counts),
    )


def warm_up_days(connection: Connection, oldest: int) -> dict[int, dict[int, Results]]:
    """What was answered on each day from `oldest` on, by row and day."""
    found: dict[int, dict[int, Results]] = {}
    query = "SELECT warm_up, day, delivered, deferred, bounced, complaints FROM warm_up_day WHERE day >= ?"
    for row, day, *counts in connection.execute(query, (oldest,)):
        found.setdefault(row, {})[day] = Results(*counts)
    return found


def forget_warm_ups(connection: Connection, oldest: int) -> None:
    """Delete what nobody asked for since the day `oldest`."""
    connection.execute("DELETE FROM warm_up WHERE day < ?", (oldest,))
    connection.execute("DELETE FROM warm_up_day WHERE day < ?", (oldest,))
