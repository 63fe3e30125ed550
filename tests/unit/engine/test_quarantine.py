"""Mail that breaks us: three tries, then held with its cause, while all other mail goes on (R33)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.engine.assess import Assessor
from relay.engine.attempt import Attempter
from relay.policy.quarantine import TRIES, Care, care, counts
from relay.policy.state import State
from relay.smtp.reply import remote_reply
from relay.spool.inquiry import QueueFilter
from relay.spool.orders import Verb
from relay.spool.sqlite import SqliteSpool
from tests.support.engine_bench import CONTENT, EngineBench, engine_bench

POISON = CONTENT.replace(b"hello", b"poison")


def test_only_the_first_death_counts_for_what_was_merely_in_hand() -> None:
    assert [care(broken) for broken in range(TRIES + 1)] == [Care.USUAL, Care.NOTED, Care.ALONE, Care.ALONE]
    assert [counts(broken, begun=False) for broken in range(TRIES)] == [True, False, False]
    assert all(counts(broken, begun=True) for broken in range(TRIES))


@pytest.fixture
def poisonous(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An attempt that breaks on one content."""
    whole = Attempter.attempt

    async def breaking(self: Attempter, parcel: Any, content: Any, *more: Any) -> Any:
        if any(b"poison" in piece for piece in (content.prelude, content.head)):
            raise RecursionError("in the depth of a library")
        return await whole(self, parcel, content, *more)

    monkeypatch.setattr(Attempter, "attempt", breaking)
    return monkeypatch


async def test_what_breaks_us_three_times_is_held_and_goes_when_released(
    tmp_path: Path, poisonous: pytest.MonkeyPatch
) -> None:
    async with engine_bench(tmp_path) as bench:
        poison = await bench.send("a@b.example", content=POISON)
        others = [await bench.send(f"u{n}@b.example") for n in range(5)]
        view = await bench.until(poison, State.HELD)
        for other in others:
            await bench.until(other, State.DELIVERED)
        assert view.deliveries[0].attempts == TRIES
        assert "3 times in a row" in view.events[-1].detail["reason"]
        assert [(alarm.kind, alarm.subject) for alarm in await bench.spool.alarms()] == [("quarantine", poison)]
        poisonous.undo()
        await bench.spool.ask(Verb.RELEASE, QueueFilter(message=poison), "mended", timedelta())
        await bench.until(poison, State.DELIVERED)
        assert await bench.spool.alarms() == []


async def test_suspects_are_handled_one_at_a_time_and_others_go_on(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, start=False) as bench:
        suspects = [await bench.send(f"s{n}@slow.example") for n in range(3)]
        await _suspect(bench)
        gate = bench.far.host("mx.slow.example").gate = asyncio.Event()
        await bench.engine.start()
        other = await bench.send("u@quick.example")
        await bench.until(other, State.DELIVERED)
        async with asyncio.timeout(20):
            while bench.far.host("mx.slow.example").waiting < 1:
                await asyncio.sleep(0.01)
        gate.set()
        for suspect in suspects:
            await bench.until(suspect, State.DELIVERED)
        assert bench.far.host("mx.slow.example").peak == 1


async def test_a_suspect_is_settled_before_the_next_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    settled: set[int] = set()
    whole_note, whole_settle = SqliteSpool.note_begun, SqliteSpool.settle

    async def note(self: SqliteSpool, seq: int, numbers: Any) -> None:
        # If the worker died now, whatever began before and is not settled would be blamed as well.
        assert set(begun) <= settled
        begun.append(seq)
        await whole_note(self, seq, numbers)

    async def settle(self: SqliteSpool, incarnation: Any, settlements: Any) -> Any:
        await asyncio.sleep(0.1)
        count = await whole_settle(self, incarnation, settlements)
        settled.update(one.seq for one in settlements)
        return count

    monkeypatch.setattr(SqliteSpool, "note_begun", note)
    monkeypatch.setattr(SqliteSpool, "settle", settle)
    async with engine_bench(tmp_path, start=False) as bench:
        suspects = [await bench.send(f"s{n}@slow.example") for n in range(3)]
        await _suspect(bench)
        await bench.engine.start()
        for suspect in suspects:
            await bench.until(suspect, State.DELIVERED)
    assert len(begun) == 3


async def test_many_suspects_do_not_fill_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.engine.suspects.MAX_ALONE", 2)
    async with engine_bench(tmp_path, start=False, window=4) as bench:
        for n in range(6):
            await bench.send(f"s{n}@slow.example")
        await _suspect(bench)
        bench.far.host("mx.slow.example").gate = gate = asyncio.Event()
        await bench.engine.start()
        other = await bench.send("u@quick.example")
        await bench.until(other, State.DELIVERED)
        gate.set()


async def test_a_suspect_waits_while_the_spool_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    whole = SqliteSpool.note_begun

    async def note(self: SqliteSpool, seq: int, numbers: Any) -> None:
        told.append(seq)
        await whole(self, seq, numbers)

    monkeypatch.setattr(SqliteSpool, "note_begun", note)
    async with engine_bench(tmp_path, start=False) as bench:
        suspect = await bench.send("s@b.example")
        await _suspect(bench)
        await bench.engine.start()
        await bench.until(suspect, State.DELIVERED)
        plain = await bench.send("u@b.example")
        await bench.until(plain, State.DELIVERED)
    assert len(told) == 1


async def test_a_verdict_that_breaks_holds_the_delivery_and_repeats_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ArithmeticError("no verdict")

    async with engine_bench(tmp_path) as bench:
        bench.far.host("mx.gone.example").reply_to = lambda _: remote_reply(550, ("5.1.1 no such user",))
        with monkeypatch.context() as patched:
            patched.setattr(Assessor, "_verdict", broken)
            await bench.until(await bench.send("a@b.example"), State.DELIVERED)
            await bench.until(await bench.send("x@gone.example"), State.HELD)
        await bench.until(await bench.send("c@b.example"), State.DELIVERED)
        assert set(bench.far.counted().values()) == {1}


async def _suspect(bench: EngineBench) -> None:
    """Everything that waits has broken two tries."""
    await bench.database.write(lambda connection: list(connection.execute("UPDATE delivery SET broken = 2")))
