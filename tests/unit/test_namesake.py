"""Two nodes of one name: who is a rival, and what the older one says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from relay.clock import SystemClock
from relay.engine.alarms import Alarms
from relay.namesake import ALARM, is_contested, tell_replaced
from relay.spool.life import Life
from relay.spool.work import Incarnation
from tests.support.engine_bench import spool_of
from tests.support.hand_clock import HandClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def life(node: str, place: str, worker: int = 0) -> Life:
    return Life(Incarnation(1), node, worker, NOW, place)


def test_workers_of_one_supervisor_are_no_rivals() -> None:
    living = [life("mx", "host, process 7", 0), life("mx", "host, process 7", 1), life("other", "host, process 9")]
    assert not is_contested(living, "mx", "host, process 7")
    assert is_contested(living, "mx", "host, process 8")


async def test_the_older_leaves_an_alarm_that_says_where_the_other_runs(tmp_path: Path) -> None:
    async with spool_of(tmp_path, HandClock()) as (spool, _):
        await tell_replaced(Alarms(spool, SystemClock()), "mx", "host, process 7", "cellar, process 3")
        (alarm,) = await spool.alarms()
        assert (alarm.kind, alarm.subject) == (ALARM, "mx")
        assert "cellar, process 3" in alarm.detail
        assert "node.name" in alarm.detail


async def test_a_spool_that_is_away_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    async with spool_of(tmp_path, HandClock()) as (spool, database):
        database.away = True
        await tell_replaced(Alarms(spool, SystemClock()), "mx", "host, process 7", "")
        database.away = False
        assert await spool.alarms() == []
