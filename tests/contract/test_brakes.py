"""The complaint brake in every database: tightened by figures, by stream and tenant, loosened by command alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relay.account.book import AccountBook
from relay.database.contract import Database
from relay.event import EventKind
from relay.figures.book import FigureBook
from relay.figures.rows import add_figures, hour_of
from relay.ids import SystemEntropy
from relay.policy.complaints import BrakeRules
from relay.policy.lessons import Figure
from tests.support.either_database import BOTH, open_database
from tests.support.hand_clock import HandClock

RULES = BrakeRules()
HOUR = 3600


@dataclass
class Bench:
    database: Database
    clock: HandClock
    figures: FigureBook

    async def happened(
        self, stream: str, delivered: int, complaints: int, provider: str = "big", tenant: int = 1
    ) -> None:
        hour = hour_of(self.clock.now())
        counts = {
            Figure(hour, tenant, stream, provider, int(kind), ""): count
            for kind, count in ((EventKind.DELIVERED, delivered), (EventKind.COMPLAINED, complaints))
        }
        await self.database.write(lambda connection: add_figures(connection, counts))

    async def braked(self) -> dict[str, str]:
        await self.figures.tighten(RULES)
        return {one.subject: one.level.value for one in await self.figures.brakes()}


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    database = await open_database(request, tmp_path)
    clock = HandClock()
    accounts = AccountBook(database, clock, SystemEntropy())
    await accounts.migrate()
    assert [await accounts.ensure_tenant(name) for name in ("acme", "other")] == [1, 2]
    figures = FigureBook(database, clock)
    await figures.migrate()
    yield Bench(database, clock, figures)
    await accounts.close()
    await database.close()


async def test_a_stream_is_slowed_and_stopped_and_others_go_on(bench: Bench) -> None:  # P04
    await bench.happened("news", 1000, 0)
    await bench.happened("letters", 50_000, 1)
    assert await bench.braked() == {}
    await bench.happened("news", 0, 2)
    assert await bench.braked() == {"acme/news": "slow"}
    await bench.happened("news", 0, 1)
    assert await bench.braked() == {"acme/news": "stop"}
    (brake,) = await bench.figures.brakes()
    assert str(brake).startswith("stopped for 3 complaints among 1000 deliveries")
    await bench.happened("news", 50_000, 0)
    assert await bench.braked() == {"acme/news": "stop"}  # by command alone


async def test_what_was_before_it_was_resumed_is_forgiven(bench: Bench) -> None:
    await bench.happened("news", 1000, 9)
    assert await bench.braked() == {"acme/news": "stop"}
    assert await bench.figures.loosen("acme", "letters") is None
    assert await bench.figures.loosen("acme", "news") is not None
    assert await bench.figures.loosen("acme", "news") is None
    assert await bench.braked() == {}
    bench.clock.move(2 * HOUR)
    await bench.happened("news", 1000, 1)
    assert await bench.braked() == {}
    await bench.happened("news", 0, 2)
    assert await bench.braked() == {"acme/news": "stop"}


async def test_what_is_older_than_the_window_counts_no_more(bench: Bench) -> None:
    await bench.happened("news", 1000, 9)
    bench.clock.move(8 * 24 * HOUR)
    await bench.happened("news", 1000, 1)
    assert await bench.braked() == {}


async def test_a_tenant_whose_streams_are_each_just_bearable(bench: Bench) -> None:
    for stream in ("one", "two", "three"):
        await bench.happened(stream, 900, 1)
    assert await bench.braked() == {"acme/*": "slow"}


async def test_one_provider_decides_though_all_together_look_well(bench: Bench) -> None:
    await bench.happened("news", 100_000, 0, "google")
    await bench.happened("news", 1000, 4, "yahoo")
    assert await bench.braked() == {"acme/news": "stop"}
    assert (await bench.figures.brakes())[0].provider == "yahoo"
