"""Letters leave together, at moments that are no letter's own, and in no order that tells when they were written."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from relay.clock import from_millis
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.moderator import a_moderator
from tests.support.visitor import Visitor
from tests.unit.web.test_desk import held
from tests.unit.web.test_ladder import FOREIGN
from web.departures import EVERY, next_departure, spread
from web.row import SPREAD

NOON = HandClock().now()


@given(st.timedeltas(timedelta(0), timedelta(days=1)), st.floats(0, 1, exclude_max=True))
def test_a_departure_is_the_next_full_five_minutes(later: timedelta, chance: float) -> None:
    at = next_departure(NOON + later)
    assert timedelta(0) <= at - (NOON + later) < EVERY
    assert (at.minute % 5, at.second, at.microsecond) == (0, 0, 0)
    assert next_departure(at) == at
    other = spread(NOON + later, chance)
    assert at <= other < at + SPREAD
    assert next_departure(other) == other


def test_a_wait_is_spread_over_all_departures_within_it() -> None:
    assert {spread(NOON, n / 100) for n in range(100)} == {NOON + n * EVERY for n in range(4)}


async def test_letters_leave_together_and_not_as_they_were_written(tmp_path: Path) -> None:  # SND 3
    clock = HandClock()
    options = replace(OPTIONS, jitter=timedelta(minutes=8))
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        for n in range(12):
            clock.move(11)
            await visitor.send(await visitor.preview(message=f"Letter {n}."))
        moments = await _due(front)
        assert len(moments) == 12
        assert {next_departure(at) for at in moments} == set(moments) == {NOON + EVERY, NOON + 2 * EVERY}
        first = moments.count(NOON + EVERY)
        assert 1 < first < 11
        clock.move((NOON + EVERY - clock.now()).total_seconds() - 1)
        assert not front.relay.arrivals
        clock.move(1)
        await visitor.until_arrived(first)
        clock.move(EVERY.total_seconds() - 1)
        assert front.relay.arrivals == first
        clock.move(1)
        await visitor.until_counted(_waiting, 0)
        taken = await front.database.read(lambda c: list(c.execute("SELECT left_at FROM web_letter")))
        assert {from_millis(at) for (at,) in taken} <= {NOON + EVERY, NOON + 2 * EVERY}


async def test_who_is_taken_first_does_not_tell_who_came_first(tmp_path: Path) -> None:
    clock = HandClock()
    options = replace(OPTIONS, jitter=timedelta(minutes=4), hand_over_every=timedelta(days=1))
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        for n in range(8):
            await visitor.post("/en/preview", {"token": await visitor.preview(message=f"{n}."), "action": "send"})
        clock.move(EVERY.total_seconds())
        rows = await front.database.read(lambda c: list(c.execute("SELECT letter_id FROM web_handover ORDER BY rowid")))
        written = [name for (name,) in rows]
        few = await front.store.take_due(clock.now(), EVERY, 5)
        rest = await front.store.take_due(clock.now(), EVERY, 5)
        assert [one.id for one in few + rest] == sorted(written) != written


async def test_a_letter_that_is_let_go_leaves_with_others(tmp_path: Path) -> None:
    clock = HandClock()
    options = replace(OPTIONS, jitter=timedelta(minutes=10))
    async with (
        running_front(tmp_path, clock, options) as front,
        aiohttp.ClientSession() as session,
        a_moderator(front) as ann,
    ):
        visitor = Visitor(front, session)
        await visitor.send(await visitor.preview(message=FOREIGN))
        (letter,) = await held(ann)
        clock.move(61)
        await ann.post(f"/desk/letter/{letter}", action="release", reason="Kind.")
        (moment,) = await _due(front)
        assert next_departure(moment) == moment > clock.now()


async def _waiting(front: Front) -> int:
    return len(await _due(front))


async def _due(front: Front) -> list[datetime]:
    rows = await front.database.read(lambda c: list(c.execute("SELECT due FROM web_handover ORDER BY due")))
    return [from_millis(at) for (at,) in rows]
