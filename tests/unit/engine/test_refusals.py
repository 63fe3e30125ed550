"""Standing refusals on the path: at intake, at departure, before the dot; never both, never neither (R17, N06)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from relay.engine.submission import Accepted
from relay.event import EventKind
from relay.ids import SpoolId
from relay.mail.address import parse_address
from relay.policy.shaping import Limits, ShapingBook
from relay.policy.state import State
from relay.policy.suppress import Reason
from relay.spool.work import Door
from relay.suppression.contract import NewSuppression
from tests.support.engine_bench import EngineBench, engine_bench, submission


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[EngineBench]:
    async with engine_bench(tmp_path) as bench:
        yield bench


async def refuse(bench: EngineBench, address: str, reason: Reason = Reason.OPT_OUT, stream: str = "") -> None:
    await bench.book.add([NewSuppression(1, parse_address(address), reason, stream)])


async def test_a_suppressed_recipient_is_accepted_and_the_others_get_their_mail(bench: EngineBench) -> None:
    await refuse(bench, "ann@b.example")
    answer = await bench.engine.intake.submit(submission("Ann@b.example", "bob@b.example"))
    assert isinstance(answer, Accepted)
    assert [one.state for one in answer.deliveries] == [State.SUPPRESSED, State.WAITING]
    view = await bench.until(answer.id, State.SUPPRESSED, State.DELIVERED)
    assert [one.state for one in view.deliveries] == [State.SUPPRESSED, State.DELIVERED]
    told = next(event for event in view.events if event.kind is EventKind.SUPPRESSED)
    assert (told.n, told.detail["reason"]) == (0, "opt-out")
    assert bench.far.counted() == {"bob@b.example": 1}


async def test_mail_for_nobody_is_final_at_once(bench: EngineBench) -> None:
    await refuse(bench, "ann@b.example", stream="news")
    view = await bench.view(await bench.send("ann@b.example", stream="news"))
    assert [one.state for one in view.deliveries] == [State.SUPPRESSED]
    assert await bench.spool.next_due() is None
    assert (await bench.until(await bench.send("ann@b.example", stream="letters"), State.DELIVERED)).deliveries


async def test_our_own_reports_ask_nobody(bench: EngineBench) -> None:
    await refuse(bench, "ann@b.example")
    await bench.until(await bench.send("ann@b.example", door=Door.NOTICE), State.DELIVERED)


async def test_what_waits_in_the_queue_is_not_sent_either(bench: EngineBench) -> None:  # N06
    bench.far.host("mx.b.example").reachable = False
    later = bench.engine._parts.clock.now() + timedelta(milliseconds=400)
    message = await bench.send("ann@b.example", "bob@b.example", send_at=later)
    bench.far.host("mx.b.example").reachable = True
    await refuse(bench, "ann@b.example", Reason.COMPLAINT)
    view = await bench.until(message, State.SUPPRESSED, State.DELIVERED)
    assert [one.state for one in view.deliveries] == [State.SUPPRESSED, State.DELIVERED]
    assert bench.far.counted() == {"bob@b.example": 1}


async def test_a_refusal_before_the_dot_stops_the_transaction(bench: EngineBench) -> None:
    host = bench.far.host("mx.b.example")
    host.gate = asyncio.Event()
    message = await bench.send("ann@b.example", "bob@b.example")
    async with asyncio.timeout(10):
        while not host.waiting:
            await asyncio.sleep(0.01)
    await refuse(bench, "ann@b.example")
    host.gate.set()
    view = await bench.until(message, State.SUPPRESSED, State.DELIVERED)
    assert [one.state for one in view.deliveries] == [State.SUPPRESSED, State.DELIVERED]
    assert [one.attempts for one in view.deliveries] == [0, 1]
    assert bench.far.counted() == {"bob@b.example": 1}


@pytest.mark.parametrize("seed", range(3))
async def test_refusals_at_random_moments(tmp_path: Path, seed: int) -> None:
    """Each recipient gets the mail or is suppressed; after a refusal was committed, no new mail goes."""
    chance = random.Random(seed)
    async with engine_bench(tmp_path, shaping=ShapingBook(everybody=Limits(4))) as bench:
        people = [f"u{n}@d{n % 5}.example" for n in range(60)]

        sent: dict[str, SpoolId] = {}

        async def write(person: str) -> None:
            await asyncio.sleep(chance.random() * 0.4)
            sent[person] = await bench.send(person)

        async def say_no(person: str) -> None:
            await asyncio.sleep(chance.random() * 0.6)
            await refuse(bench, person)

        noes = chance.sample(people, 40)
        await asyncio.gather(*map(write, people), *map(say_no, noes))
        for person, message in sent.items():
            (state,) = [one.state for one in (await bench.until(message, *FINAL)).deliveries]
            assert (state is State.DELIVERED) == (bench.far.counted()[person] == 1)
            assert person in noes or state is State.DELIVERED
        again = [await bench.send(person) for person in noes]
        for message in again:
            assert await bench.states(message) == [State.SUPPRESSED]


FINAL = (State.DELIVERED, State.SUPPRESSED)
