"""Delivery from several sources: shares, the same source again, and what a source's failure does."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

from relay.ids import SpoolId
from relay.policy.pool import Member, Pool, Pools
from relay.policy.state import State
from relay.policy.way import Source
from relay.smtp.reply import remote_reply
from relay.spool.inquiry import MessageView
from tests.support.engine_bench import EngineBench, engine_bench
from tests.support.far_side import ACCEPTED
from tests.support.hand_clock import HandClock

ONE, TWO = Source("one", "192.0.2.1", "one.example"), Source("two", "192.0.2.2", "two.example")
SIX = Source("six", "2001:db8::1", "six.example")


def pool(*sources: Source) -> Pools:
    return Pools(Pool("default", tuple(map(Member, sources))))


async def send(bench: EngineBench, count: int, domain: str = "b.example") -> list[SpoolId]:
    return [await bench.send(f"a{n}@{domain}") for n in range(count)]


def sources(view: MessageView) -> list[str]:
    return [str(event.detail["source"]) for event in view.events if event.detail.get("attempt")]


async def test_mail_is_shared_out_and_each_path_has_its_own_sessions(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, pools=pool(ONE, TWO)) as bench:
        for message in await send(bench, 60):
            await bench.until(message, State.DELIVERED)
        assert set(Counter(source for _, _, source in bench.far.dialled)) == {"one", "two"}


async def test_a_greylisted_delivery_returns_from_the_same_source(tmp_path: Path) -> None:
    grey = remote_reply(450, ("4.2.0 greylisted, come back in 60 seconds",))
    async with engine_bench(tmp_path, pools=pool(ONE, TWO)) as bench:
        host = bench.far.host("mx.b.example")
        seen: Counter[str] = Counter()

        def greylist(address: object) -> object:
            seen[str(address)] += 1
            return grey if seen[str(address)] < 3 else ACCEPTED

        host.reply_to = greylist  # type: ignore[assignment]
        used = set()
        for message in await send(bench, 12):
            found = sources(await bench.until(message, State.DELIVERED))
            assert len(found) == 3
            assert len(set(found)) == 1
            used |= set(found)
        assert used == {"one", "two"}


async def test_a_source_that_cannot_be_used_costs_no_attempt_and_rests(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, HandClock(), pools=pool(ONE, TWO)) as bench:
        bench.far.broken_sources.add("one")
        for message in await send(bench, 40):
            view = await bench.until(message, State.DELIVERED)
            assert view.deliveries[0].attempts == 1
            assert sources(view) == ["two"]
        assert sum(source == "one" for _, _, source in bench.far.dialled) <= 5


async def test_a_source_whose_way_out_is_broken_rests(tmp_path: Path) -> None:
    clock = HandClock()
    async with engine_bench(tmp_path, clock, pools=pool(ONE, TWO)) as bench:
        bench.far.cut_off_sources.add("one")
        for n in range(40):
            message = await bench.send(f"a@site{n}.example")
            await bench.until(message, State.DELIVERED, State.WAITING)
        dialled = [source for _, _, source in bench.far.dialled]
        # Five sites were silent from one while two reached others: from there on only two is used.
        assert "one" not in dialled[-10:]


async def test_a_black_hole_of_ipv6_costs_no_attempt(tmp_path: Path) -> None:
    # B07: another source of the pool has the other IP version
    async with engine_bench(tmp_path, HandClock(), pools=pool(SIX, TWO)) as bench:
        bench.far.ipv6["mx.b.example"] = "2001:db8::25"
        for message in await send(bench, 20):
            view = await bench.until(message, State.DELIVERED)
            assert view.deliveries[0].attempts == 1
            assert sources(view) == ["two"]
        assert sum(source == "six" for _, _, source in bench.far.dialled) <= 5


async def test_ipv6_leaves_only_from_a_source_that_is_fit(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, pools=pool(Source("any", "", "any.example"))) as bench:
        bench.engine.ways.unfit_for_ipv6 = frozenset({"any"})
        bench.far.ipv6["mx.b.example"] = "2001:db8::25"
        await bench.until(await bench.send("a@b.example"), State.DELIVERED)
        assert {address for _, address, _ in bench.far.dialled} == {"198.51.101.7"}


async def test_a_host_that_no_source_can_reach_is_no_way(tmp_path: Path) -> None:
    async with engine_bench(tmp_path, pools=pool(SIX), retry=timedelta(hours=1)) as bench:
        view = await bench.until(await bench.send("a@b.example"), State.WAITING)
        assert view.attempts[0].detail["status"] == "4.4.4"
        assert bench.far.dialled == []


async def test_a_dead_site_is_tried_once_from_each_source_and_mail_waits(tmp_path: Path) -> None:
    # R22: each source learns it once; nothing is dialled for each letter
    async with engine_bench(tmp_path, HandClock(), pools=pool(ONE, TWO)) as bench:
        bench.far.host("mx.dead.example").reachable = False
        for message in await send(bench, 40, "dead.example"):
            await bench.until(message, State.WAITING)
        assert bench.far.host("mx.dead.example").dials <= 10
