"""Young sources: a ceiling reached, a stated departure, overflow to a warm source, and who is not counted twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from relay.account.identity import Identity
from relay.api.front import tell_admission
from relay.client.contract import Admission
from relay.client.local import LocalRelayClient, RelayParts
from relay.client.wire import AdmissionAsked
from relay.engine.admission import PLAN_KEPT, Room, Sender
from relay.ids import SpoolId
from relay.policy.explanation import Cause
from relay.policy.pool import Member, Pool, Pools
from relay.policy.shaping import ShapingBook
from relay.policy.state import State
from relay.policy.warm_up import WarmUpRules
from relay.policy.way import Source
from relay.resolver.contract import DnsAnswer
from relay.smtp.reply import Reply, remote_reply
from relay.spool.explaining import Obstacles, ceilings_of, waiting
from relay.spool.inquiry import DeliveryView
from tests.support.engine_bench import EngineBench, engine_bench
from tests.support.far_side import ACCEPTED
from tests.support.hand_clock import HandClock

YOUNG = Source("young", "192.0.2.1", "young.example", warms_since=1)
WARM = Source("warm", "192.0.2.2", "warm.example")
FEW = ShapingBook(warm_up=WarmUpRules((2, 4)))
GREY = remote_reply(450, ("4.2.0 greylisted, come back in 60 seconds",))


def pool(*members: Member) -> Pools:
    return Pools(Pool("default", members))


ONLY_YOUNG = pool(Member(YOUNG))
MOSTLY_YOUNG = pool(Member(YOUNG, 1000.0), Member(WARM, 0.001))
"""Every message's own source is the young one."""


async def delivery(bench: EngineBench, message: SpoolId) -> DeliveryView:
    return (await bench.view(message)).deliveries[0]


async def promised(bench: EngineBench, message: SpoolId) -> DeliveryView:
    """The delivery once it was told to wait."""
    async with asyncio.timeout(20):
        while True:
            found = await delivery(bench, message)
            if found.state is State.WAITING and found.warmth is not None and found.warmth.promised is not None:
                return found
            await asyncio.sleep(0.01)


async def used(bench: EngineBench) -> int:
    return sum(view.used for view in await bench.warm_ups.views())


async def test_who_finds_a_ceiling_reached_waits_until_the_departure_he_was_told(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, pools=ONLY_YOUNG, shaping=FEW) as bench:
        first = await bench.send("a@b.example")
        await bench.until(first, State.DELIVERED)
        waits = await promised(bench, second := await bench.send("b@b.example"))
        assert waits.attempts == 0
        assert waits.due is not None
        assert waits.due > clock.now()
        tomorrow = await promised(bench, third := await bench.send("c@b.example"))
        assert tomorrow.due is not None
        assert tomorrow.due.day == clock.now().day + 1
        # Another provider has a ceiling of its own.
        await bench.until(await bench.send("a@other.example"), State.DELIVERED)
        clock.jump((waits.due - clock.now()).total_seconds() + 1)
        await bench.until(second, State.DELIVERED)
        assert await used(bench) == 3
        clock.jump((tomorrow.due - clock.now()).total_seconds() + 1)
        await bench.until(third, State.DELIVERED)
        # Its prelude was written when it left, not when it was handed in.
        sent = next(one.content for one in bench.far.taken if one.recipient == "c@b.example")
        assert f"Date: {clock.now():%a, %d %b}".encode() in sent


async def test_what_a_young_source_may_not_send_leaves_from_a_warm_one(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, HandClock(), pools=MOSTLY_YOUNG, shaping=FEW) as bench:
        for n in range(6):
            await bench.until(await bench.send(f"a{n}@b.example"), State.DELIVERED)
        assert [source for _, _, source in bench.far.dialled].count("young") == 1
        assert await used(bench) == 1


async def test_a_delivery_that_was_greylisted_returns_from_where_it_left(tmp_path: Path) -> None:
    clock = HandClock()
    retry = timedelta(minutes=5)
    async with engine_bench(tmp_path, clock, pools=MOSTLY_YOUNG, shaping=FEW, retry=retry) as bench:
        await bench.until(await bench.send("first@b.example"), State.DELIVERED)
        answers: list[Reply] = [GREY, GREY, ACCEPTED, ACCEPTED]
        bench.far.host("mx.b.example").reply_to = lambda _: answers.pop(0)
        overflowing = await bench.send("a@b.example")
        await wait_for_attempts(bench, overflowing, 1)
        clock.jump(13 * 3600)  # tomorrow: the young source has room again
        younger = await bench.send("b@b.example")
        await wait_for_attempts(bench, overflowing, 2)
        await bench.until(younger, State.DELIVERED)
        clock.jump(300)
        await bench.until(overflowing, State.DELIVERED)
        assert await sources(bench, overflowing) == ["warm"] * 3


async def sources(bench: EngineBench, message: SpoolId) -> list[str]:
    events = (await bench.view(message)).events
    return [str(event.detail["source"]) for event in events if event.detail.get("attempt")]


async def wait_for_attempts(bench: EngineBench, message: SpoolId, attempts: int) -> None:
    async with asyncio.timeout(20):
        while (await delivery(bench, message)).attempts < attempts:
            await asyncio.sleep(0.01)


async def test_later_attempts_of_a_letter_are_not_counted_again(tmp_path: Path) -> None:
    clock = HandClock()
    retry = timedelta(minutes=5)
    async with engine_bench(tmp_path, clock, pools=ONLY_YOUNG, shaping=FEW, retry=retry) as bench:
        answers: list[Reply] = [GREY, GREY, ACCEPTED]
        bench.far.host("mx.b.example").reply_to = lambda _: answers.pop(0)
        letter = await bench.send("a@b.example")
        for attempts in (1, 2):
            await wait_for_attempts(bench, letter, attempts)
            assert (await delivery(bench, letter)).source == "young"
            clock.jump(400)
        await bench.until(letter, State.DELIVERED)
        assert await used(bench) == 1


async def test_a_letter_that_reached_nobody_is_not_counted(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, HandClock(), pools=ONLY_YOUNG, shaping=FEW) as bench:
        bench.far.host("mx.b.example").reachable = False
        await wait_for_attempts(bench, await bench.send("a@b.example"), 1)
        async with asyncio.timeout(20):
            while await used(bench):
                await asyncio.sleep(0.01)


async def test_a_letter_to_many_leaves_in_parts(tmp_path: Path) -> None:
    six = ShapingBook(warm_up=WarmUpRules((60,)))
    async with engine_bench(tmp_path, HandClock(), pools=ONLY_YOUNG, shaping=six) as bench:
        letter = await bench.send(*(f"a{n}@b.example" for n in range(50)))
        async with asyncio.timeout(20):
            while True:
                deliveries = (await bench.view(letter)).deliveries
                waiting = [one for one in deliveries if one.warmth is not None and one.warmth.promised is not None]
                left = [one for one in deliveries if one.state is State.DELIVERED]
                if len(waiting) + len(left) == 50:
                    break
                await asyncio.sleep(0.01)
        assert 5 <= len(left) < 20
        assert await used(bench) == len(left)


async def test_ipv4_and_ipv6_warm_up_apart(tmp_path: Path) -> None:
    both = pool(Member(Source("both", "", "both.example", warms_since=1)))
    async with engine_bench(tmp_path, HandClock(), pools=both, shaping=FEW) as bench:
        bench.far.ipv6["mx.b.example"] = "2001:db8::5"
        bench.far.ipv6_answers = True
        for n in range(2):
            await bench.until(await bench.send(f"a{n}@b.example"), State.DELIVERED)
        assert {(view.key.version, view.used) for view in await bench.warm_ups.views()} == {(4, 1), (6, 1)}


async def test_mail_expires_while_it_waits_for_a_ceiling(tmp_path: Path) -> None:
    clock = HandClock()
    life = timedelta(minutes=50)  # a clock that goes ahead by more than an hour is not believed
    async with engine_bench(tmp_path, clock, pools=ONLY_YOUNG, shaping=FEW, expire_after=life) as bench:
        await bench.until(await bench.send("a@b.example"), State.DELIVERED)
        late = await bench.send("b@b.example")
        await promised(bench, late)
        clock.jump(50 * 60 + 1)
        view = await bench.until(late, State.EXPIRED)
        assert "the warm-up of unsigned mail from young" in str(view.events[-1].detail["reply"])


async def test_whoever_asks_is_told_what_room_there_is_and_why_a_letter_waits(tmp_path: Path) -> None:
    clock = HandClock()
    whose = Sender(1, "", "")
    async with engine_bench(tmp_path, clock, pools=ONLY_YOUNG, shaping=FEW) as bench:
        rooms, fresh = bench.engine.admissions, Room(2, provider="mx.b.example", ceiling=2)
        assert (await rooms.room_for(whose, "b.example"), await rooms.room_today(whose)) == (fresh, Room(2))
        nothing: Any = None
        parts = RelayParts(nothing, nothing, nothing, nothing, nothing, nothing, nothing, admissions=rooms)
        client = LocalRelayClient(parts, Identity(1, "leak", None, "front", ("leak.example",)))
        assert (await client.admission("a@leak.example", "")).remaining == 2
        assert (await client.admission("a@leak.example", "", "b@b.example")).ceiling == 2
        asked = AdmissionAsked(sender="a@leak.example", stream="letter", recipient="b@b.example")
        assert (await tell_admission(client, asked)).value() == Admission(2, None, "mx.b.example", 2), "over HTTP too"
        assert await client.admission("a@other.example", "") == Admission(None), "another's domain"
        await bench.until(await bench.send("a@b.example"), State.DELIVERED)
        room = await rooms.room_for(whose, "b.example")
        waits = await promised(bench, letter := await bench.send("b@b.example"))
        assert room.remaining == 1
        assert room.departs == waits.due
        assert await rooms.room_today(whose) == Room(1)
        view = await bench.view(letter)
        why = waiting(view, waits, clock.now(), Obstacles(ceilings=await bench.warm_ups.reasons(ceilings_of(view))))
        assert (why.cause, why.until) == (Cause.CEILING, waits.due)
        assert "unsigned mail from young at" in why.sentence
        assert "may send 2 letters a day (step 1), 1 are used today" in why.sentence
    async with engine_bench(tmp_path / "warm", clock, pools=MOSTLY_YOUNG, shaping=FEW) as bench:
        assert await bench.engine.admissions.room_for(whose, "b.example") == Room(None, provider="mx.b.example")


async def test_the_way_to_a_domain_is_asked_for_once_however_many_letters_ask_for_room(tmp_path: Path) -> None:
    clock, whose = HandClock(), Sender(1, "", "")
    async with engine_bench(tmp_path, clock, pools=ONLY_YOUNG, shaping=FEW) as bench:
        rooms = bench.engine.admissions
        for left in (2, 1):
            room = await rooms.room_for(whose, "b.example")
            assert (room.remaining, room.provider) == (left, "mx.b.example"), "what is left is asked for each time"
            if left == 2:
                await bench.until(await bench.send("a@b.example"), State.DELIVERED)
        asked = bench.far.asked["b.example", "MX"]
        bench.far.domains["b.example"] = DnsAnswer(("10 mx.c.example",))
        clock.move(PLAN_KEPT - 1)
        assert (await rooms.room_for(whose, "b.example")).provider == "mx.b.example"
        assert bench.far.asked["b.example", "MX"] == asked
        clock.move(1)
        assert (await rooms.room_for(whose, "b.example")).provider == "mx.c.example"
