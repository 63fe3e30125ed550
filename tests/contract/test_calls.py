"""The caller on both databases: each alarm once and its end, by one node of two, after failures too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay.database.sqlite import SqliteDatabase
from relay.engine.alarms import Alarms
from relay.engine.caller import Caller, Calling
from relay.notify.book import migrate_webhooks
from relay.notify.call_book import CallBook
from relay.notify.ways import Told
from relay.policy.alarms import AlarmKind
from relay.spool.contract import Spool
from relay.spool.sqlite import SqliteSpool
from tests.support.either_database import BOTH, open_database, spool_on
from tests.support.hand_clock import HandClock
from tests.support.switched_database import SwitchedDatabase


@dataclass
class Ear:
    """A way that remembers what it was told, or fails."""

    name: str = "ear"
    deaf: bool = False
    heard: list[Told] = field(default_factory=list)

    async def tell(self, told: Told) -> str:
        if self.deaf:
            return "deaf"
        self.heard.append(told)
        return ""

    @property
    def words(self) -> list[tuple[str, bool]]:
        return [(one.call.subject, one.call.ended is not None) for one in self.heard]


@dataclass
class Bench:
    spool: Spool
    book: CallBook
    clock: HandClock
    ear: Ear = field(default_factory=Ear)
    most: int = 30

    def caller(self, alarms: Alarms | None = None) -> Caller:
        standing = alarms or Alarms(self.spool, self.clock)
        return Caller(Calling("mx", self.book, self.clock, self.most), [self.ear], self.spool, standing)


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    database = await open_database(request, tmp_path)
    clock = HandClock()
    spool = spool_on(database, clock)
    await spool.migrate()
    await migrate_webhooks(database)
    yield Bench(spool, CallBook(database), clock)
    await spool.close()


async def test_each_once_with_its_end(bench: Bench) -> None:
    """Two nodes and a restart make one call of it; what begins again is told again."""
    await bench.spool.raise_alarm("ptr", "one", "evidence")
    for caller in (bench.caller(), bench.caller(), bench.caller()):
        await caller.look()
    assert bench.ear.words == [("one", False)]
    await bench.spool.clear_alarm("ptr", "one")
    for caller in (bench.caller(), bench.caller()):
        await caller.look()
    assert bench.ear.words == [("one", False), ("one", True)]
    bench.clock.move(60)
    await bench.spool.raise_alarm("ptr", "one", "again")
    await bench.caller().look()
    assert bench.ear.words[2:] == [("one", False)]


async def test_a_deaf_way_is_called_again(bench: Bench) -> None:
    """Later and later, by whoever runs then; the end of what it never heard is not told."""
    bench.ear.deaf = True
    caller = bench.caller()
    await bench.spool.raise_alarm("spf", "one", "evidence")
    await bench.spool.raise_alarm("spf", "two", "evidence")
    await caller.look()
    bench.ear.deaf = False
    await caller.look()
    assert not bench.ear.heard  # it rests
    await bench.spool.clear_alarm("spf", "two")
    bench.clock.move(200)
    await caller.look()
    await bench.caller().look()
    assert bench.ear.words == [("one", False)]


async def test_alarms_are_told_after_a_clock_was_set_back(bench: Bench) -> None:  # R27
    """What was told, and what could not be, while the clock was ten years ahead, silences nobody for ten years."""
    caller, ten_years = bench.caller(), 3650 * 86400
    bench.clock.jump(ten_years)
    await bench.spool.raise_alarm("ptr", "one", "evidence")
    await caller.look()
    await bench.spool.raise_alarm("spf", "two", "evidence")
    bench.ear.deaf = True
    bench.clock.move(3601)
    await caller.look()
    bench.ear.deaf = False
    bench.clock.jump(-ten_years)
    for subject in ("one", "two"):
        await bench.spool.clear_alarm({"one": "ptr", "two": "spf"}[subject], subject)
        await bench.spool.raise_alarm({"one": "ptr", "two": "spf"}[subject], subject, "again")
        for each in (caller, bench.caller()):
            await each.look()
        bench.clock.move(3601)
    assert bench.ear.words == [(subject, False) for subject in ("one", "one", "two", "two")]


async def test_too_many_in_an_hour(bench: Bench) -> None:
    """The last call that fits names the others; nothing is told twice when the hour is over."""
    bench.most = 3
    for number in range(8):
        await bench.spool.raise_alarm("dkim", str(number), "evidence")
    caller = bench.caller()
    await caller.look()
    assert [len(one.call.more) for one in bench.ear.heard] == [0, 0, 5]
    assert "and 5 more" in bench.ear.heard[2].title
    bench.clock.move(3700)
    await caller.look()
    assert len(bench.ear.heard) == 3


async def test_while_the_database_is_away(tmp_path: Path) -> None:
    """What cannot be a row is told all the same, once, and its end; when it becomes one, not again."""
    database, clock = SwitchedDatabase(await SqliteDatabase.open(tmp_path / "spool.db")), HandClock()
    spool = SqliteSpool(database, clock)  # type: ignore[arg-type]
    await spool.migrate()
    await migrate_webhooks(database)
    bench = Bench(spool, CallBook(database), clock)
    alarms = Alarms(spool, clock)
    caller = bench.caller(alarms)
    database.away = True
    await alarms.start(AlarmKind.DATABASE, "mx", "no answer")
    await alarms.start(AlarmKind.PORT_25, "ip1", "shut")
    await caller.look()
    await caller.look()
    await alarms.end(AlarmKind.DATABASE, "mx")
    await caller.look()
    assert sorted(bench.ear.words) == [("ip1", False), ("mx", False), ("mx", True)]
    database.away = False
    await alarms.refresh()
    assert [one.subject for one in await spool.alarms()] == ["ip1"]
    await caller.look()
    await alarms.end(AlarmKind.PORT_25, "ip1")
    await caller.look()
    assert sorted(bench.ear.words) == [("ip1", False), ("ip1", True), ("mx", False), ("mx", True)]
    await spool.close()
