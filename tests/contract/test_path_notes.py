"""Notes on paths, in every database: written by one worker, read by the others, forgotten when nobody renews them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from relay.database.contract import Database
from relay.policy.handover import Learnt
from relay.policy.way import EgressPath
from relay.shaping.path_notes import KEPT, PathNote, PathNotes
from relay.shaping.warm_ups import WarmUpBook
from tests.support.either_database import BOTH, open_database
from tests.support.hand_clock import HandClock


@dataclass
class Bench:
    database: Database
    clock: HandClock
    notes: PathNotes

    def resting(self, site: str = "b.example", seconds: int = 300) -> PathNote:
        now = self.clock.now()
        return PathNote(site, "ip1", now, now + timedelta(seconds=seconds), "connect", "451 4.4.1 timed out")


@pytest.fixture(params=BOTH)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    clock = HandClock()
    database = await open_database(request, tmp_path)
    await WarmUpBook(database, clock).migrate()
    yield Bench(database, clock, PathNotes(database, clock))
    await database.close()


async def test_others_read_what_one_noted_while_it_lasts(bench: Bench) -> None:
    note = bench.resting()
    await bench.notes.write(1, [note, PathNote("slow.example", "ip1", pace="holding at 12 a minute")], ())
    assert await bench.notes.of_others(1) == []
    assert await bench.notes.of_others(2) == [note]
    assert [str(one) for one in await bench.notes.all()] == [
        f"b.example from ip1 rests until {note.rests_until:%Y-%m-%d %H:%M:%S} UTC because: 451 4.4.1 timed out",
        "slow.example from ip1: its provider limits us, the pace learnt is holding at 12 a minute",
    ]
    bench.clock.move(301)
    assert await bench.notes.of_others(2) == []
    assert [one.site for one in await bench.notes.all()] == ["slow.example"]


async def test_a_note_goes_with_its_reason_and_with_time(bench: Bench) -> None:
    await bench.notes.write(1, [bench.resting(), bench.resting("c.example", 9000)], ())
    await bench.notes.write(1, [], [("b.example", "ip1")])
    assert [one.site for one in await bench.notes.of_others(2)] == ["c.example"]
    bench.clock.move(KEPT.total_seconds() + 1)
    await bench.notes.write(2, [], ())
    assert await bench.notes.of_others(2) == []


async def test_two_workers_notes_of_a_path_are_one_to_people(bench: Bench) -> None:
    longer = bench.resting(seconds=600)
    await bench.notes.write(1, [bench.resting()], ())
    await bench.notes.write(2, [longer], ())
    assert await bench.notes.all() == [longer]


async def test_an_operator_ends_a_sites_rests(bench: Bench) -> None:
    other = replace(bench.resting(), source="ip2")
    await bench.notes.write(1, [bench.resting(), other], ())
    await bench.notes.write(2, [bench.resting(seconds=600), bench.resting("c.example")], ())
    assert await bench.notes.ended() == {}
    assert await bench.notes.end_rests("b.example", "ip3") == 0
    assert await bench.notes.end_rests("b.example", "ip1") == 1
    assert [(one.site, one.source) for one in await bench.notes.of_others(3)] == [
        ("b.example", "ip2"),
        ("c.example", "ip1"),
    ]
    assert await bench.notes.ended() == {EgressPath("b.example", "ip1"): bench.clock.now()}
    assert await bench.notes.end_rests("b.example") == 1
    assert await bench.notes.end_rests("b.example") == 0
    assert [one.site for one in await bench.notes.all()] == ["c.example"]
    bench.clock.move(KEPT.total_seconds() + 1)
    await bench.notes.write(1, [], [("c.example", "ip1")])
    assert await bench.notes.ended() == {}


async def test_what_was_learnt_comes_back_as_it_was_written(bench: Bench) -> None:
    known = Learnt(41.99, ceiling=43.5, horizon=60.2, penalty=300.0, sessions=4)
    await bench.notes.write(1, [PathNote("slow.example", "ip1", pace="holding", learnt=known)], ())
    assert [one.learnt for one in await bench.notes.of_others(2)] == [known]
