"""Delivery from claim to settlement on a real spool: bounds, slow and dead sites, stopping, and who holds up whom."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from relay.ids import SpoolId
from relay.mail.address import parse_address
from relay.mail.envelope import Envelope, Recipient
from relay.policy.shaping import Limits, ShapingBook
from relay.policy.state import State
from relay.resolver.contract import DnsAnswer, DnsFailure
from relay.smtp.reply import remote_reply
from relay.spool.inquiry import QueueFilter
from tests.support.engine_bench import EngineBench, engine_bench
from tests.support.hand_clock import HandClock


@pytest.fixture(autouse=True)
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hand clock moves by minutes at once; the lease must not wait ten seconds to hold again."""
    monkeypatch.setattr("relay.engine.lease.BEATS", 1200)  # 50 ms


async def leased(bench: EngineBench) -> int:
    return len(await bench.spool.deliveries(QueueFilter(states=(State.LEASED,), limit=10_000)))


async def until_waiting_at(bench: EngineBench, exchanger: str, count: int) -> None:
    async with asyncio.timeout(10):
        while bench.far.host(exchanger).waiting < count:
            await asyncio.sleep(0.01)


async def send_many(bench: EngineBench, domain: str, count: int) -> list[SpoolId]:
    return list(await asyncio.gather(*(bench.send(f"u{n}@{domain}") for n in range(count))))


async def test_the_window_bounds_what_is_leased(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, window=10, line=10) as bench:
        gate = bench.far.host("mx.b.example").gate = asyncio.Event()
        # One after the other: accepts under way at once may pass the bound by their number.
        messages = [await bench.send(f"u{n}@b.example") for n in range(40)]
        assert await leased(bench) <= 10
        gate.set()
        for message in messages:
            await bench.until(message, State.DELIVERED)
        assert set(bench.far.counted().values()) == {1}


async def test_a_slow_site_holds_up_its_own_line_only(tmp_path: Path) -> None:
    # R20: the window has room for others however much mail waits for one slow site
    async with engine_bench(tmp_path, window=60, line=20) as bench:
        gate = bench.far.host("mx.slow.example").gate = asyncio.Event()
        await send_many(bench, "slow.example", 20)
        await until_waiting_at(bench, "mx.slow.example", 1)
        for n in range(100):
            await bench.send(f"more{n}@slow.example")
        quick = await bench.send("a@quick.example")
        await bench.until(quick, State.DELIVERED)
        assert await leased(bench) <= 60
        gate.set()


async def test_a_long_queue_of_one_site_flows_without_waiting_for_the_poll(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, line=10) as bench:
        gate = bench.far.host("mx.b.example").gate = asyncio.Event()
        messages = await send_many(bench, "b.example", 400)
        gate.set()
        async with asyncio.timeout(15):  # one look a second would take half a minute
            for message in messages:
                await bench.until(message, State.DELIVERED)
        assert bench.far.host("mx.b.example").peak <= 20


async def test_a_dead_site_rests_and_is_not_dialled_for_each_letter(tmp_path: Path) -> None:
    # R22
    clock = HandClock()
    async with engine_bench(tmp_path, clock) as bench:
        bench.far.host("mx.dead.example").reachable = False
        messages = await send_many(bench, "dead.example", 60)
        for message in messages:
            await bench.until(message, State.WAITING)
        assert bench.far.host("mx.dead.example").dials <= 5
        bench.far.host("mx.dead.example").reachable = True
        clock.move(61)
        for message in messages:
            await bench.until(message, State.DELIVERED)


async def test_a_host_that_serves_few_sessions_gets_few_and_no_mail_pays_for_it(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        host = bench.far.host("mx.b.example")
        host.most_sessions, host.gate = 3, asyncio.Event()
        first = await send_many(bench, "b.example", 3)
        async with asyncio.timeout(10):
            while host.waiting < 3:
                await asyncio.sleep(0.01)
        host.gate.set()
        for message in first:
            await bench.until(message, State.DELIVERED)
        messages = await send_many(bench, "b.example", 80)
        for message in messages:
            view = await bench.until(message, State.DELIVERED)
            assert view.deliveries[0].attempts == 1
        assert host.peak <= 3


async def test_a_host_that_came_back_is_not_stormed(tmp_path: Path) -> None:  # B14
    async with engine_bench(tmp_path, rest=timedelta(milliseconds=300)) as bench:
        host = bench.far.host("mx.b.example")
        host.reachable, host.gate = False, asyncio.Event()
        letters = [await bench.send(f"a{n}@b.example") for n in range(100)]
        async with asyncio.timeout(20):
            while not host.dials:
                await asyncio.sleep(0.01)
        dials, host.reachable = host.dials, True
        async with asyncio.timeout(20):
            while not host.waiting:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        assert dials <= 5
        assert host.open <= 5, "while it has taken nothing yet, a hundred letters wait for a few sessions"
        host.gate.set()
        for letter in letters:
            await bench.until(letter, State.DELIVERED, seconds=30)
        assert host.peak <= 20


async def test_a_host_that_serves_nobody_is_not_asked_for_each_letter(tmp_path: Path) -> None:
    # B13, R23
    async with engine_bench(tmp_path, HandClock()) as bench:
        host = bench.far.host("mx.b.example")
        host.most_sessions = 0
        for message in await send_many(bench, "b.example", 60):
            await bench.until(message, State.WAITING)
        assert host.dials <= 5


async def test_expired_mail_for_a_dead_site_ends_with_one_attempt_for_all(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, expire_after=timedelta(seconds=90)) as bench:
        bench.far.host("mx.dead.example").reachable = False
        messages = await send_many(bench, "dead.example", 60)
        for message in messages:
            await bench.until(message, State.WAITING)
        before = bench.far.host("mx.dead.example").dials
        clock.move(91)
        for message in messages:
            view = await bench.until(message, State.EXPIRED)
            assert view.attempts
        assert bench.far.host("mx.dead.example").dials - before <= 5


async def test_mail_waits_for_a_resting_site_no_longer_than_until_its_expiry(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, expire_after=timedelta(seconds=30)) as bench:
        bench.far.host("mx.dead.example").reachable = False
        await bench.until(await bench.send("a@dead.example"), State.WAITING)
        view = await bench.until(await bench.send("b@dead.example"), State.WAITING)
        assert view.deliveries[0].due == view.expires_at


async def test_a_refusal_of_our_address_rests_the_path_and_bounces_only_when_patience_ends(tmp_path: Path) -> None:
    blocked = remote_reply(550, ("5.7.1 part of their network is on our block list (S3140)",))
    clock = HandClock()
    async with engine_bench(tmp_path, clock, expire_after=timedelta(days=5)) as bench:
        host = bench.far.host("mx.b.example")
        host.reply_to = lambda _: blocked
        first = await bench.until(await bench.send("a@b.example"), State.WAITING)
        assert first.attempts[0].detail["diagnosis"]["rule"] == "microsoft-address-blocked"
        for n in range(20):
            view = await bench.until(await bench.send(f"b{n}@b.example"), State.WAITING)
            due = view.deliveries[0].due
            assert due is not None
            assert due >= clock.now() + timedelta(minutes=59)
        assert host.dials == 1
        clock.move(25 * 3600)
        await bench.until(first.id, State.BOUNCED)


async def test_trouble_of_our_own_puts_no_site_to_rest(tmp_path: Path) -> None:
    # R28: without descriptors nothing can be dialled; that says nothing about the site
    async with engine_bench(tmp_path) as bench:
        bench.far.host("mx.b.example").source_fails = True
        message = await bench.send("a@b.example")
        async with asyncio.timeout(10):
            while not (await bench.view(message)).attempts:
                await asyncio.sleep(0.01)
        bench.far.host("mx.b.example").source_fails = False
        await bench.until(message, State.DELIVERED)


async def test_stopping_gives_back_what_was_not_sent(tmp_path: Path) -> None:
    # R09
    async with engine_bench(tmp_path) as bench:
        bench.far.host("mx.b.example").gate = asyncio.Event()
        messages = await send_many(bench, "b.example", 50)
        await until_waiting_at(bench, "mx.b.example", 1)
        await bench.engine.drain(0.1)
        assert {state for message in messages for state in await bench.states(message)} == {State.WAITING}
        assert bench.far.open == 0
        assert bench.far.taken == []


async def test_stopping_while_the_dns_is_silent_forgets_nothing(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        bench.far.dns_gate = asyncio.Event()
        messages = await send_many(bench, "b.example", 20)
        await bench.engine.drain(0.1)
        assert {state for message in messages for state in await bench.states(message)} == {State.WAITING}


async def test_transactions_under_way_may_finish_when_we_stop(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        gate = bench.far.host("mx.b.example").gate = asyncio.Event()
        message = await bench.send("a@b.example")
        await until_waiting_at(bench, "mx.b.example", 1)
        asyncio.get_running_loop().call_later(0.2, gate.set)
        await bench.engine.drain(10)
        assert await bench.states(message) == [State.DELIVERED]


async def test_stopping_does_not_wait_for_idle_sessions(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, session_idle=600.0) as bench:
        await bench.until(await bench.send("a@b.example"), State.DELIVERED)
        assert bench.far.open == 1
        async with asyncio.timeout(20):
            await bench.engine.drain(600)


async def test_a_spool_that_cannot_be_written_does_not_keep_us_from_stopping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.engine.engine.FLUSH_SECONDS", 0.2)
    async with engine_bench(tmp_path) as bench:
        gate = bench.far.host("mx.b.example").gate = asyncio.Event()
        message = await bench.send("a@b.example")
        await until_waiting_at(bench, "mx.b.example", 1)
        bench.database.away = True
        gate.set()
        async with asyncio.timeout(20):
            await bench.engine.drain(1)
        bench.database.away = False
        assert await bench.states(message) == [State.LEASED]  # our successor takes it: docs/spool.md, step 9


async def test_settlements_wait_for_a_spool_that_comes_back_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        gate = bench.far.host("mx.b.example").gate = asyncio.Event()
        message = await bench.send("a@b.example")
        await until_waiting_at(bench, "mx.b.example", 1)
        bench.database.away = True
        gate.set()
        async with asyncio.timeout(10):
            while not bench.far.taken:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        bench.database.away = False
        await bench.until(message, State.DELIVERED)
        assert bench.far.counted() == {"a@b.example": 1}


async def test_a_stale_session_is_no_attempt_and_a_session_carries_its_share_only(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, shaping=ShapingBook(everybody=Limits(1, 4))) as bench:
        host = bench.far.host("mx.b.example")
        gate = host.gate = asyncio.Event()
        messages = await send_many(bench, "b.example", 12)
        gate.set()
        for message in messages:
            assert (await bench.until(message, State.DELIVERED)).attempts == ()
        assert host.dials == 3
        host.transactions = 2
        for message in await send_many(bench, "b.example", 6):
            assert (await bench.until(message, State.DELIVERED)).attempts == ()


async def test_silence_after_the_dot_is_tried_again_and_said_so(tmp_path: Path) -> None:
    # A16, R15
    async with engine_bench(tmp_path) as bench:
        bench.far.host("mx.b.example").answers_dot = False
        message = await bench.send("a@b.example")
        async with asyncio.timeout(10):
            while not bench.far.taken:
                await asyncio.sleep(0.01)
        bench.far.host("mx.b.example").answers_dot = True
        view = await bench.until(message, State.DELIVERED)
        assert view.attempts[0].detail["result"] == "unknown"
        assert 2 <= bench.far.counted()["a@b.example"] == len(view.attempts) + 1


async def test_each_recipient_of_a_parcel_has_its_own_fate(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        replies = {"gone": remote_reply(550, ("5.1.1 no such user",)), "full": remote_reply(452, ("4.2.2 full",))}
        fine = bench.far.host("mx.b.example").reply_to
        bench.far.host("mx.b.example").reply_to = lambda to: replies.get(to.local) or fine(to)
        message = await bench.send("gone@b.example", "full@b.example", "fine@b.example")
        await bench.until(message, State.BOUNCED, State.WAITING, State.DELIVERED)
        assert await bench.states(message) == [State.BOUNCED, State.WAITING, State.DELIVERED]


async def test_a_domain_that_does_not_exist_bounces_and_one_that_does_not_answer_waits(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        bench.far.domains["none.example"] = DnsAnswer((), DnsFailure.NXDOMAIN)
        bench.far.domains["mute.example"] = DnsAnswer((), DnsFailure.TIMEOUT)
        gone, mute = await bench.send("a@none.example"), await bench.send("a@mute.example")
        await bench.until(gone, State.BOUNCED)
        await bench.until(mute, State.WAITING)
        bench.far.domains.clear()
        await bench.until(mute, State.DELIVERED)


async def test_one_letter_to_many_domains_counts_its_content_once(tmp_path: Path) -> None:
    # Or one slow site would close the window for everybody.
    async with engine_bench(tmp_path, octets=100_000) as bench:
        gate = bench.far.host("mx.d0.example").gate = asyncio.Event()
        many = tuple(Recipient(parse_address(f"a@d{n}.example")) for n in range(10))
        content = b"From: ann@sender.example\r\nSubject: large\r\n\r\n" + b"a line of twenty octets\r\n" * 2000
        await bench.send(envelope=Envelope(parse_address("ann@sender.example"), many), content=content)
        await until_waiting_at(bench, "mx.d0.example", 1)
        other = await bench.send("a@quick.example")
        await bench.until(other, State.DELIVERED)
        gate.set()


async def test_a_newer_life_stops_the_older_one_before_the_dot(tmp_path: Path) -> None:
    # R18
    async with engine_bench(tmp_path) as bench:
        gate = bench.far.host("mx.b.example").gate = asyncio.Event()
        message = await bench.send("a@b.example")
        await until_waiting_at(bench, "mx.b.example", 1)
        await bench.spool.register("relay.example", 0)
        async with asyncio.timeout(10):
            await bench.replaced.wait()
        gate.set()
        await bench.engine.drain(5)
        assert bench.far.taken == []
        assert await bench.states(message) == [State.WAITING]
