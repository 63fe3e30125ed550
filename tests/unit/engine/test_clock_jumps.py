"""The wall clock jumps while mail waits, and messages with an end of their own (R27)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.engine.janitor import Janitor
from relay.engine.submission import Refusal
from relay.ids import SpoolId
from relay.policy.state import State
from relay.smtp.reply import remote_reply
from tests.support.engine_bench import EngineBench, engine_bench, submission
from tests.support.far_side import HostScript
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


async def meets_it_again(bench: EngineBench, message: SpoolId, host: HostScript) -> None:
    """The host is called once more, or the message was tried twice, in a session that was still open."""
    before = host.dials
    async with asyncio.timeout(20):
        while host.dials == before and (await bench.view(message)).deliveries[0].attempts < 2:
            await asyncio.sleep(0.01)


async def pauses(bench: EngineBench, message: SpoolId, clock: HandClock) -> None:
    """The delivery waits for a time to come."""
    async with asyncio.timeout(20):
        while True:
            (delivery,) = (await bench.until(message, State.WAITING)).deliveries
            if delivery.due is not None and delivery.due > clock.now():
                return
            await asyncio.sleep(0.01)


async def arrives(bench: EngineBench, message: SpoolId, clock: HandClock) -> None:
    """The message is delivered as time passes, in steps that no lease runs out in."""
    async with asyncio.timeout(20):
        while await bench.states(message) != [State.DELIVERED]:
            clock.move(10)
            await asyncio.sleep(0.05)


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


@pytest.mark.parametrize("reachable", [True, False])
async def test_a_clock_far_ahead_gives_nothing_up_that_waits(tmp_path: Path, reachable: bool) -> None:
    """All that waits had trouble before, and meets it again while the clock is wrong."""
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(minutes=5), rest=timedelta(minutes=5)) as bench:
        host = bench.far.host("mx.b.example")
        host.reachable, host.reply_to = reachable, lambda _: LATER
        first = await bench.send("a@b.example")
        await attempts(bench, first, 1)
        second = await bench.send("c@b.example")  # its site may rest, so that it waits without an attempt
        clock.jump(10 * 365 * 24 * HOUR)
        await meets_it_again(bench, first, host)
        for message in (first, second):
            await pauses(bench, message, clock)
        clock.jump(-10 * 365 * 24 * HOUR)
        await mended(bench, first, clock)
        await mended(bench, second, clock)
        host.reachable, host.reply_to = True, lambda _: remote_reply(250, ("2.0.0 taken",))
        await arrives(bench, first, clock)
        await arrives(bench, second, clock)


async def test_what_nobody_set_back_for_a_day_is_believed(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(minutes=5)) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: LATER
        sent = await bench.send("a@b.example")
        await attempts(bench, sent, 1)
        clock.jump(10 * 365 * 24 * HOUR)
        await attempts(bench, sent, 2)
        clock.move(25 * HOUR)
        await bench.until(sent, State.EXPIRED)


async def test_a_relay_that_starts_with_a_clock_far_ahead_gives_nothing_up(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, retry=timedelta(minutes=5), start=False) as bench:
        bench.far.host("mx.b.example").reply_to = lambda _: LATER
        await bench.spool.register("relay.example", 0)  # the life before
        sent = await bench.send("a@b.example")
        clock.jump(10 * 365 * 24 * HOUR)
        await bench.engine.start()
        await attempts(bench, sent, 1)
        assert await bench.states(sent) == [State.WAITING]


async def test_content_outlives_a_clock_far_ahead(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock) as bench:
        sent = await bench.send("a@b.example")
        await bench.until(sent, State.DELIVERED)
        janitor = Janitor(bench.spool, clock, timedelta(days=3), bench.engine.alarms, lambda: None)
        clock.jump(10 * 365 * 24 * HOUR)
        assert await janitor.round() == 0
        clock.jump(-10 * 365 * 24 * HOUR)
        clock.move(2 * 24 * HOUR)
        assert await janitor.round() == 0
        clock.move(2 * 24 * HOUR)
        assert await janitor.round() == 1


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
