"""The settler: what it keeps while the spool is away, and what becomes of a settlement that cannot be written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.database.contract import Connection
from relay.engine.lease import Lease
from relay.engine.settler import Settler
from relay.event import EventKind
from relay.ids import SpoolId
from relay.policy.state import State
from relay.spool.inquiry import QueueFilter
from relay.spool.work import Settlement
from tests.support.engine_bench import EngineBench, engine_bench


@dataclass
class Desk:
    """A settler of its own, and the deliveries it holds a lease of."""

    bench: EngineBench
    settler: Settler
    messages: list[SpoolId]
    held: list[Settlement]
    """Settlements to DELIVERED, one a message."""
    heard: list[Settlement] = field(default_factory=list)

    async def states(self) -> list[State]:
        return [(await self.bench.states(message))[0] for message in self.messages]


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    monkeypatch.setattr("relay.engine.settler.RETRY_SECONDS", 0.02)
    clock = SystemClock()
    async with engine_bench(tmp_path, clock, start=False) as bench:
        lease = Lease(bench.spool, clock, lambda _: None)
        await lease.start("relay.example", 1)
        messages = [await bench.send(f"u{n}@d{n}.example") for n in range(3)]
        parcels = {parcel.id: parcel for parcel in await bench.spool.claim(lease.incarnation, 10)}
        held = [Settlement(parcels[message].seq, 0, State.DELIVERED, event=EventKind.DELIVERED) for message in messages]
        heard: list[Settlement] = []

        def settled(settlements: Sequence[Settlement]) -> None:
            heard.extend(settlements)

        settler = Settler(bench.spool, lease, settled)
        settler.start()
        yield Desk(bench, settler, messages, held, heard)
        await settler.stop()
        await lease.stop()


async def test_settlements_wait_for_the_spool_and_are_heard_of_once(desk: Desk) -> None:
    desk.bench.database.away = True
    for settlement in desk.held:
        desk.settler.add(settlement)
    await asyncio.sleep(0.1)
    assert desk.heard == []
    desk.bench.database.away = False
    await desk.settler.flush(10)
    assert desk.heard == desk.held
    assert await desk.states() == [State.DELIVERED] * 3


async def test_nothing_new_begins_while_results_cannot_be_written(desk: Desk) -> None:
    # Case (a) of docs/spool.md: what is sent now would be sent again after a crash
    await asyncio.wait_for(desk.settler.keeps_up(), 10)
    desk.bench.database.away = True
    desk.settler.add(desk.held[0])
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(desk.settler.keeps_up())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    desk.bench.database.away = False
    await asyncio.wait_for(waiting, 10)


async def test_a_lease_that_went_back_unused_holds_up_nothing(desk: Desk) -> None:
    desk.bench.database.away = True
    back = Settlement(desk.held[0].seq, 0, State.WAITING, desk.bench.engine._parts.clock.now())
    desk.settler.add(back)
    async with asyncio.timeout(10):
        while back not in desk.heard:
            await asyncio.sleep(0.02)
        await desk.settler.keeps_up()
    desk.bench.database.away = False


async def test_a_flush_ends_though_the_spool_does_not_come_back(desk: Desk) -> None:
    desk.bench.database.away = True
    desk.settler.add(desk.held[0])
    async with asyncio.timeout(10):
        await desk.settler.flush(0.1)
    desk.bench.database.away = False
    await desk.settler.flush(10)
    assert (await desk.states())[0] is State.DELIVERED


async def test_a_settlement_that_cannot_be_written_holds_its_delivery_alone(desk: Desk) -> None:
    # R33: a lone surrogate is no text a database takes
    broken = Settlement(desk.held[1].seq, 0, State.DELIVERED, event=EventKind.DELIVERED, detail={"odd": "\udcff"})
    for settlement in (desk.held[0], broken, desk.held[2]):
        desk.settler.add(settlement)
    await desk.settler.flush(10)
    assert await desk.states() == [State.DELIVERED, State.HELD, State.DELIVERED]
    assert len(desk.heard) == 3  # and the window leaks no place
    view = await desk.bench.view(desk.messages[1])
    assert "could not be stored" in view.events[-1].detail["reason"]


async def test_a_result_that_comes_too_late_changes_nothing(desk: Desk) -> None:
    await desk.bench.spool.register("relay.example", 1)
    for settlement in desk.held:
        desk.settler.add(settlement)
    await desk.settler.flush(10)
    assert await desk.states() == [State.WAITING] * 3
    assert len(await desk.bench.spool.deliveries(QueueFilter(states=(State.WAITING,)))) == 3


async def test_torn_content_is_held_with_an_alarm_and_others_go_on(tmp_path: Path) -> None:
    # R06
    async with engine_bench(tmp_path, start=False) as bench:
        torn, whole = await bench.send("a@b.example"), await bench.send("c@b.example")

        def tear(connection: Connection) -> None:
            connection.execute("DELETE FROM content WHERE message = (SELECT seq FROM message WHERE id = ?)", (torn,))

        await bench.database.write(tear)
        await bench.engine.start()
        await bench.until(whole, State.DELIVERED)
        await bench.until(torn, State.HELD)
        assert [(alarm.kind, alarm.subject) for alarm in await bench.spool.alarms()] == [("torn-content", torn)]
