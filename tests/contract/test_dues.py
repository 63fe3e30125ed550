"""Due times when the wall clock jumps: nothing expires untried, nothing is stranded, nothing scheduled leaves early."""

from __future__ import annotations

from datetime import timedelta

from relay.event import EventKind
from relay.policy.outcome import Result
from relay.policy.state import State
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Verb
from relay.spool.work import Receipt, Settlement
from tests.contract.test_spool import START, Bench, attempt, bench

__all__ = ["bench"]

WAITS = (timedelta(minutes=5), timedelta(hours=6))


async def defer(bench: Bench, receipt: Receipt, **wait: float) -> None:
    """One attempt, and another after `wait`."""
    due = bench.clock.now() + timedelta(**wait)
    tried = attempt(Result.TEMPORARY, 451, "4.7.1 later")
    later = Settlement(receipt.seq, 0, State.WAITING, due, EventKind.DEFERRED, attempt=tried)
    assert await bench.spool.settle(bench.me, [later]) == 1


async def test_a_clock_set_back_strands_nothing(bench: Bench) -> None:
    # R27
    tried = await bench.accept("tried@b.example", lease_to=bench.me)
    await defer(bench, tried, minutes=5)
    fresh = await bench.accept("fresh@c.example")
    bench.clock.jump(hours=-1)
    assert await bench.claim() == []
    assert await bench.spool.last_written() == START
    assert await bench.spool.mend_dues(WAITS) == 2
    assert await bench.spool.mend_dues(WAITS) == 0
    bench.clock.forward(minutes=5)
    assert {parcel.id for parcel in await bench.claim()} == {tried.id, fresh.id}


async def test_what_was_scheduled_stays_at_its_time(bench: Bench) -> None:
    due = bench.clock.now() + timedelta(days=3)
    receipt = await bench.accept("later@b.example", due=due, scheduled=True)
    bench.clock.jump(hours=-1)
    assert await bench.spool.mend_dues(WAITS) == 0
    view = await bench.spool.message(receipt.id)
    assert view is not None
    assert (view.send_at, view.deliveries[0].due) == (due, due)


async def test_a_long_wait_is_left_alone(bench: Bench) -> None:
    receipt = await bench.accept("a@b.example", lease_to=bench.me)
    await defer(bench, receipt, minutes=4)
    due = (await bench.spool.next_due(), await bench.spool.mend_dues(WAITS))
    assert due == (bench.clock.now() + timedelta(minutes=4), 0)


async def test_an_empty_spool_has_written_nothing(bench: Bench) -> None:
    assert await bench.spool.last_written() is None
    assert await bench.spool.mend_dues(WAITS) == 0


async def test_when_anybody_was_last_alive(bench: Bench) -> None:
    before = await bench.spool.last_alive()
    assert before is not None
    await bench.spool.retire(bench.me)
    assert await bench.spool.last_alive() == before, "that of a life that ended counts too"
    bench.clock.forward(seconds=1)
    await bench.spool.register("node", 1)
    after = await bench.spool.last_alive()
    assert after is not None
    assert after > before


async def test_what_was_scheduled_gets_another_time(bench: Bench) -> None:
    due = bench.clock.now() + timedelta(days=30)
    receipt = await bench.accept("a@b.example", "c@d.example", due=due, scheduled=True)
    before = await bench.spool.message(receipt.id)
    assert before is not None
    sooner = bench.clock.now() + timedelta(hours=1)
    assert await bench.spool.reschedule(receipt.seq, sooner)
    view = await bench.spool.message(receipt.id)
    assert view is not None
    assert (view.send_at, [one.due for one in view.deliveries]) == (sooner, [sooner, sooner])
    assert view.expires_at - sooner == before.expires_at - due
    assert await bench.claim() == []
    later = bench.clock.now() + timedelta(days=3)
    assert await bench.spool.reschedule(receipt.seq, later)
    bench.clock.forward(hours=2)
    assert await bench.claim() == [], "it was put off"
    assert await bench.spool.reschedule(receipt.seq, bench.clock.now())
    assert {parcel.id for parcel in await bench.claim()} == {receipt.id}
    assert not await bench.spool.reschedule(receipt.seq, later), "it is under way"


async def test_what_has_no_time_of_its_own_gets_none(bench: Bench) -> None:
    tried = await bench.accept("tried@b.example", lease_to=bench.me)
    await defer(bench, tried, hours=5)
    soon = bench.clock.now() + timedelta(minutes=1)
    assert not await bench.spool.reschedule(tried.seq, soon)
    held = await bench.accept("held@c.example", due=bench.clock.now() + timedelta(days=1), scheduled=True)
    await bench.spool.ask(Verb.HOLD, QueueFilter(domain="c.example"), "why not", timedelta())
    assert not await bench.spool.reschedule(held.seq, soon)
    assert await bench.states(held.id) == [State.HELD]
