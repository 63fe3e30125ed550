"""Workers share what they find of paths: a dead site costs one of them its time-outs, not all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from relay.policy.explanation import Cause
from relay.policy.state import State
from relay.policy.way import EgressPath
from relay.shaping.path_notes import PathNotes, rests
from relay.smtp.reply import remote_reply
from relay.spool.explaining import Obstacles, waiting
from tests.support.engine_bench import engine_bench
from tests.support.far_side import ACCEPTED


async def test_a_rest_that_one_worker_found_holds_for_the_next_life(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        bench.far.host("mx.b.example").reachable = False
        await bench.send("a@b.example")
        while not await noted(bench.notes):
            await bench.engine.exchange_notes()
    async with engine_bench(tmp_path) as bench:
        await bench.engine.exchange_notes()
        letter = await bench.send("b@b.example")
        await bench.send("c@c.example")
        async with asyncio.timeout(20):
            while (due := (view := await bench.view(letter)).deliveries[0].due) is None or due <= datetime.now(UTC):
                await asyncio.sleep(0.02)
        assert view.deliveries[0].attempts == 0
        assert all(exchanger != "mx.b.example" for exchanger, _, _ in bench.far.dialled)
        why = waiting(view, view.deliveries[0], datetime.now(UTC), Obstacles(rests=rests(await bench.notes.all())))
        assert why.cause is Cause.REST
        assert "451 4.4.1 no connection" in why.sentence


async def noted(notes: PathNotes) -> list[EgressPath]:
    return [EgressPath(one.site, one.source) for one in await notes.all() if one.rests_until is not None]


async def test_a_new_life_begins_with_the_pace_that_the_last_one_reached(tmp_path: Path) -> None:
    async with engine_bench(tmp_path) as bench:
        said = iter([ACCEPTED, remote_reply(450, ("4.7.1 too many messages, slow down",))])
        bench.far.host("mx.slow.example").reply_to = lambda _: next(said, ACCEPTED)
        for n in range(3):
            await bench.until(await bench.send(f"a{n}@slow.example"), State.DELIVERED)
        while not (reached := await paces(bench.notes)):
            await bench.engine.exchange_notes()
    async with engine_bench(tmp_path) as bench:
        await bench.until(await bench.send("b@slow.example"), State.DELIVERED)
        await bench.engine.exchange_notes()
        assert await paces(bench.notes) == reached * 2, "it noted the same, though nobody refused it"


async def paces(notes: PathNotes) -> list[float]:
    return [one.learnt.per_minute for one in await notes.of_others(0) if one.learnt is not None]
