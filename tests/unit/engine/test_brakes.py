"""A braked stream on the path: it waits without an attempt, other mail passes, and it goes on when it is resumed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.engine.alarms import Alarms
from relay.engine.brakes import Brakes, _Pace
from relay.figures.book import FigureBook
from relay.figures.brakes import _write
from relay.policy.complaints import BrakeRules, Judgement, Level, Sample
from relay.policy.state import State
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Verb
from tests.support.engine_bench import EngineBench, engine_bench


async def brake(bench: EngineBench, level: Level) -> Brakes:
    """An engine that knows of a brake on the stream "news"."""
    figures = FigureBook(bench.database, SystemClock())
    await figures.migrate()
    judgement = Judgement(level, Sample("yahoo", 1000, 4))
    now = SystemClock().now()
    await bench.database.write(lambda connection: _write(connection, 1, "news", judgement, now))
    brakes = Brakes(
        figures, Alarms(bench.spool, SystemClock()), replace(BrakeRules(), per_minute=1), SystemClock(), 1.0
    )
    await brakes.look()
    bench.engine._dispatcher._brakes = brakes
    return brakes


async def test_a_stopped_stream_waits_and_others_pass(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        brakes = await brake(bench, Level.STOP)
        stopped = await bench.send("a@b.example", stream="news")
        await bench.until(await bench.send("b@b.example", stream="letters"), State.DELIVERED)
        await bench.until(await bench.send("b@b.example"), State.DELIVERED)
        view = await bench.until(stopped, State.WAITING)
        (delivery,) = view.deliveries
        assert delivery.attempts == 0
        assert delivery.due is not None
        assert delivery.due - SystemClock().now() > timedelta(minutes=9)
        (alarm,) = await bench.spool.alarms()
        assert (alarm.kind, alarm.subject) == ("complaints", "one/news")
        assert "4 complaints among 1000 deliveries at yahoo" in alarm.detail

        assert await brakes._figures.loosen("one", "news") is not None
        await brakes.look()
        assert await bench.spool.alarms() == []
        await bench.spool.ask(Verb.RETRY, QueueFilter(tenant="one"), "resumed", timedelta())
        await bench.until(stopped, State.DELIVERED)


async def test_mail_of_a_stopped_stream_ends_in_time(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, expire_after=timedelta(milliseconds=300)) as bench:
        await brake(bench, Level.STOP)
        view = await bench.until(await bench.send("a@b.example", stream="news"), State.EXPIRED)
        assert "stopped for 4 complaints" in view.events[-1].detail["reply"]
        assert "a@b.example" not in bench.far.counted()


async def test_a_slowed_stream_goes_at_its_pace(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        await brake(bench, Level.SLOW)
        sent = [await bench.send(f"u{n}@b.example", stream="news") for n in range(8)]
        async with asyncio.timeout(20):
            while State.LEASED in [state for one in sent for state in await bench.states(one)]:
                await asyncio.sleep(0.02)
        assert len(bench.far.taken) == 1
        dues = [(await bench.view(one)).deliveries[0].due for one in sent]
        assert len({due for due in dues if due is not None}) == 7  # one after the other, not all at once


def test_a_pace_lets_so_many_go_and_makes_nobody_wait_for_ever() -> None:
    pace = _Pace(60.0, now=0.0)
    waiting = dict.fromkeys(range(100), 0.0)
    gone: list[float] = []
    for second in range(130):
        for n in [n for n, due in waiting.items() if due <= second]:
            wait = pace.wait(float(second))
            if wait:
                waiting[n] = second + wait
            else:
                gone.append(second)
                del waiting[n]
    assert len(gone) >= 95
    assert all(gone.count(second) <= 2 for second in range(130))


@pytest.mark.parametrize("level", [Level.SLOW, Level.STOP])
async def test_our_own_reports_pass(tmp_path: Path, level: Level) -> None:
    from relay.spool.work import Door

    async with engine_bench(tmp_path) as bench:
        await brake(bench, level)
        await bench.until(await bench.send("a@b.example", stream="news", door=Door.NOTICE), State.DELIVERED)
