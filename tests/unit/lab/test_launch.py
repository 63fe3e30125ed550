"""The replay of 2014: its letters come from a seed, and its books balance or say why not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from relay.lab.launch import visitors
from relay.lab.launch.ledger import LOST, Standing, balance
from relay.lab.launch.plan import DAY, DAYS, Kind, Letter, letters, volumes
from relay.lab.launch.report import DayCount, bars, table
from relay.lab.launch.time import ReplayClock
from relay.lab.launch.visitors import Fate, Played, Times, Visitors
from relay.lab_launch import AT_ONCE, WRITING, Readers, Replay
from relay.launch_node import LaunchPlan
from tests.support.moderation import the_moderator
from web.moderation.ruling import Step


@pytest.mark.parametrize("total", [11, 600, 60_000])
def test_days_double_and_hold_all_letters(total: int) -> None:
    days = volumes(total)
    assert (len(days), sum(days)) == (DAYS, total)
    assert all(after >= 2 * before - 2 for before, after in pairwise(days))
    if total == 60_000:
        assert (days[0], days[-1]) == (29, 30_015)


def test_letters_come_in_order_from_their_seed() -> None:
    written = list(letters(7, 2000))
    assert written == list(letters(7, 2000))
    assert written != list(letters(8, 2000))
    assert [one.number for one in written] == list(range(2000))
    assert all(before.at <= after.at for before, after in pairwise(written))
    assert all(one.day == int(one.at / DAY) + 1 for one in written)
    assert {one.kind for one in written} >= set(Kind) - {Kind.FULL, Kind.OFFICE}
    assert len({one.message for one in written if one.kind is Kind.ORDINARY}) > 1400, "letters do not read alike"


def test_most_letters_pass_and_most_abuse_does_not() -> None:
    """How often moderation is right is measured elsewhere; here the mix has to be worth playing."""
    moderator = the_moderator()
    ruled: dict[Kind, Counter[Step]] = {}
    for one in letters(7, 600):
        ruled.setdefault(one.kind, Counter())[moderator.rule(one.message, "").step] += 1
    ordinary, abuse = ruled[Kind.ORDINARY], ruled[Kind.ABUSE]
    assert ordinary[Step.PASS] + ordinary[Step.NUDGE] > 0.97 * ordinary.total()
    assert abuse[Step.REFUSE] + abuse[Step.HOLD] > 0.5 * abuse.total()


@pytest.mark.parametrize(
    ("answers", "fate", "asked"),
    [
        ([(503, "3600")], Fate.FULL, 1),
        ([(503, "1"), (429, "60")], Fate.LIMITED, 2),
        ([(503, ""), (422, "")], Fate.NO_ADDRESS, 2),
    ],
)
async def test_who_is_asked_to_come_back_in_an_hour_goes_and_who_meets_a_front_that_is_away_waits(
    monkeypatch: pytest.MonkeyPatch, answers: list[tuple[int, str]], fate: Fate, asked: int
) -> None:
    monkeypatch.setattr(visitors, "_PAUSE", 0.01)
    left = list(answers)

    async def answer(_: web.Request) -> web.Response:
        status, wait = left.pop(0)
        return web.Response(status=status, headers={"Retry-After": wait} if wait else {})

    app = web.Application()
    app.router.add_post("/{language}/preview", answer)
    async with TestServer(app) as server, ClientSession() as session:
        people = visitors.Visitors(f"http://127.0.0.1:{server.port}", session)
        letter = next(one for one in letters(7, 20) if one.number % 5)
        assert (await people.play(letter)).fate is fate
    assert left == []
    assert people.times.retries == asked - 1


def test_the_books_say_what_is_wrong() -> None:
    written = list(letters(1, 11))
    played = [Played(letter, Fate.SENT, f"s{letter.number}") for letter in written]
    played[0].fate = Fate.LIMITED
    standings = {f"s{n}": Standing("delivered", "handed over") for n in range(1, 10)} | {
        "s9": Standing("", "held"),
        "s10": Standing("waiting", "handed over"),
    }
    arrived = [letter.to for letter in written[1:9]]
    ledger = balance(played, standings, arrived, 10)
    assert ledger.faults(11) == []
    assert ledger.places["delivered"] == 8
    assert (ledger.places["held"], ledger.places["in the relay"], ledger.places[Fate.LIMITED.value]) == (1, 1, 1)
    text = table(ledger, 1.0, Times([0.01], [0.02]))
    assert "waiting for a person" in text
    assert "LOST" not in text
    wrong = balance(played, {**standings, "s3": Standing("", "nowhere")}, [*arrived[1:], "other@a.test"], 12)
    assert wrong.places[LOST] == 1
    assert wrong.missing == 1
    assert wrong.doubled >= 1
    assert len(wrong.faults(12)) == 4


def test_bars_and_an_empty_day() -> None:
    text = bars([DayCount(1, 10, 5, 0), DayCount(2, 20, 25, 3)])
    assert text.count("written") == 2
    assert bars([DayCount(1, 0, 0, 0)]).count("█") == 0


def test_the_replay_s_time_is_one_in_two_places(tmp_path: Path) -> None:
    here = ReplayClock.make(tmp_path / "clock")
    there = ReplayClock(tmp_path / "clock")
    here.advance(1.5 * DAY)
    assert there.now() == here.now()
    assert there.now().day == 29
    here.advance(0)
    assert there.monotonic() == 1.5 * DAY, "never back"


class _People(Visitors):
    """Who write at once, but for the first letter: it takes until all others are sent, or `wait` is over."""

    def __init__(self, clock: ReplayClock, todays: Sequence[Letter], wait: float) -> None:
        nothing: Any = None
        super().__init__("", nothing)
        self._clock, self._todays, self._wait = clock, todays, wait
        self._others = asyncio.Event()
        self.told: list[Letter] = []
        self.took: dict[int, float] = {}
        """Seconds of the replay that passed while somebody wrote, by number."""

    async def play(self, letter: Letter) -> Played:
        if letter is self._todays[0]:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait):
                    await self._others.wait()
        else:
            await asyncio.sleep(0)
        self.told.append(letter)
        self.took[letter.number] = self._clock.monotonic() - letter.at
        if len(self.told) == len(self._todays) - 1:
            self._others.set()
        return Played(letter, Fate.LIMITED)


async def _written(folder: Path, apart: float, wait: float) -> tuple[list[Letter], _People, Replay]:
    some = [one for one in letters(7, 600) if one.day == DAYS][: 3 * AT_ONCE]
    todays = [replace(one, at=n * apart) for n, one in enumerate(some)]
    clock, nothing = ReplayClock.make(folder / "clock"), cast("Any", None)
    replay = Replay(LaunchPlan(folder), clock, Readers(), nothing, print)
    people = _People(clock, todays, wait)
    await replay.write_day(people, iter(todays))
    return todays, people, replay


async def test_no_writer_waits_for_the_slowest(tmp_path: Path) -> None:
    todays, people, replay = await _written(tmp_path, apart=3.0, wait=10)
    assert people.told == [*todays[1:], todays[0]]
    assert [one.letter for one in replay.played] == people.told


async def test_days_of_few_letters_do_not_pass_while_somebody_writes(tmp_path: Path) -> None:
    """With an hour between two letters the preview of the first would be out of date before it is sent."""
    todays, people, _ = await _written(tmp_path, apart=700.0, wait=0.05)
    assert max(people.took.values()) <= WRITING
    assert sorted(one.number for one in people.told) == [one.number for one in todays]
