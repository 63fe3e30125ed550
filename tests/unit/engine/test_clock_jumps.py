"""The wall clock jumps while mail waits, and messages with an end of their own (R27)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.engine.submission import Refusal
from relay.ids import SpoolId
from relay.policy.state import State
from relay.smtp.reply import remote_reply
from tests.support.engine_bench import EngineBench, engine_bench, submission
from tests.support.hand_clock import HandClock

LATER = remote_reply(451, ("4.7.1 not now",))
HOUR = 3600.0


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.engine.lease.BEATS", 1200)  # 50 ms
    monkeypatch.setattr("relay.engine.scheduler.POLL", timedelta(milliseconds=20))


async def attempts(bench: EngineBench, message: SpoolId, count: int) -> None:
    async with asyncio.timeout(20):
        while (await bench.view(message)).deliveries[0].attempts < count:
            await asyncio.sleep(0.01)


async def mended(bench: EngineBench, message: SpoolId, clock: HandClock) -> None:
    """The jump was seen: the delivery is due no later than after a fresh wait."""
    async with asyncio.timeout(20):
        while ((await bench.view(message)).deliveries[0].due or clock.now()) > clock.now() + timedelta(minutes=5):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("jump", [-HOUR, -8 * HOUR])
async def test_a_clock_set_back_delays_a_retry_by_its_wait_at_most(tmp_path: Path, jump: float) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(minutes=5)) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: LATER
        sent = await bench.send("a@b.example")
        await attempts(bench, sent, 1)
        clock.jump(jump)
        await mended(bench, sent, clock)
        clock.move(301)
        await attempts(bench, sent, 2)


async def test_a_clock_set_back_while_nobody_ran_is_seen_at_the_start(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(minutes=5), start=False) as bench:
        sent = await bench.send("a@b.example")
        clock.jump(-HOUR)
        await bench.engine.start()
        await mended(bench, sent, clock)
        clock.move(301)
        await bench.until(sent, State.DELIVERED)


async def test_a_resting_site_does_not_rest_for_the_hour_the_clock_lost(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, rest=timedelta(minutes=5)) as bench:
        host = bench.far.host("mx.b.example")
        host.reachable = False
        await attempts(bench, await bench.send("a@b.example"), 1)
        clock.jump(-HOUR)
        host.reachable = True
        await bench.until(await bench.send("c@b.example"), State.DELIVERED)


@pytest.mark.parametrize("jump", [HOUR, 10 * 365 * 24 * HOUR])
async def test_a_clock_far_ahead_expires_nothing_untried(tmp_path: Path, jump: float) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(minutes=5)) as bench:
        host = bench.far.host("mx.b.example")
        host.reply_to = lambda _: LATER
        sent = [await bench.send(f"u{n}@b.example") for n in range(5)]
        for message in sent:
            await attempts(bench, message, 1)
        host.reply_to = lambda _: remote_reply(250, ("2.0.0 taken",))
        clock.jump(jump)
        for message in sent:
            view = await bench.until(message, State.DELIVERED)
            assert view.deliveries[0].attempts == 2


async def test_a_message_has_its_own_end(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(minutes=5)) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: LATER
        end = clock.now() + timedelta(minutes=7)
        short = await bench.send("a@b.example", expires_at=end)
        usual = await bench.send("c@b.example", expires_at=clock.now() + timedelta(days=300))
        assert (await bench.view(short)).expires_at == end
        assert (await bench.view(usual)).expires_at == clock.now() + timedelta(days=5)
        await attempts(bench, short, 1)
        clock.move(301)
        await attempts(bench, short, 2)
        clock.move(120)  # it is tried at its end, not only when the next wait is over
        view = await bench.until(short, State.EXPIRED)
        assert view.deliveries[0].attempts == 3
        assert await bench.states(usual) != [State.EXPIRED]


@pytest.mark.parametrize("minutes", [-1, 0, 30])
async def test_an_end_before_the_beginning_is_refused(tmp_path: Path, minutes: int) -> None:
    clock = SystemClock()
    async with engine_bench(tmp_path, clock, start=False) as bench:
        now = clock.now()
        wish = submission("a@b.example", send_at=now + timedelta(hours=1), expires_at=now + timedelta(minutes=minutes))
        answer = await bench.engine.intake.submit(wish)
        assert isinstance(answer, Refusal)
        assert (answer.field, answer.reply.status) == ("expires_at", "5.6.0")
