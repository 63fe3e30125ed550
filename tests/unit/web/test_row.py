"""The row before a ceiling: who comes first leaves first, and what is told before sending is what happens after."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.client.contract import Admission
from tests.support.front import OPTIONS, Front, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import Visitor
from web.admission import Ceiling, Standing
from web.letters import Left
from web.network import Network
from web.row import SPREAD, Row, told_ahead
from web.shares import USUAL, Room
from web.withheld_table import WithheldTable

NOON = HandClock().now()
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
DAY = timedelta(days=1)
STEP = timedelta(minutes=30)


@settings(max_examples=40)
@given(
    most=st.integers(1, 12),
    network=st.sampled_from(list(Network)),
    left=st.dictionaries(st.sampled_from(list(Network)), st.integers(0, 6)),
    halves=st.integers(0, 47),
)
def test_a_forecast_is_what_happens(most: int, network: Network, left: dict[Network, int], halves: int) -> None:
    """Eight letters of one kind, let go whenever there is room: each when it was told at the beginning."""
    now = at = MIDNIGHT + halves * STEP
    told = [Room(most, left).opens(network, USUAL, now, ahead) or now for ahead in range(8)]
    used, happened, tomorrow = dict(left), list[datetime](), MIDNIGHT + DAY
    while len(happened) < len(told):
        if at >= tomorrow:
            used, tomorrow = {}, tomorrow + DAY
        while len(happened) < len(told) and Room(most, used).opens(network, USUAL, at) is None:
            used[network] = used.get(network, 0) + 1
            happened.append(at)
        at = min(at + STEP, tomorrow)
    assert told == happened


def test_an_even_flow_is_shared_as_a_day_is() -> None:
    flow = Ceiling("d google", 48, daily=48)

    def opens(ceiling: Ceiling, ahead: int, network: Network = Network.DIRECT, *, shared: bool = False) -> timedelta:
        at = ceiling.opens(Standing(network, {}, ahead, shared), USUAL, MIDNIGHT)
        return timedelta(0) if at is None else timedelta(seconds=round((at - MIDNIGHT).total_seconds()))

    assert [opens(flow, ahead) for ahead in (0, 1, 4)] == [timedelta(0), STEP, 4 * STEP]
    assert opens(flow, 7, shared=True) == 10 * STEP, "seven tenths of the flow are theirs"
    assert opens(flow, 2, Network.TOR, shared=True) == 10 * STEP
    assert opens(flow, 100) == 100 * STEP
    hurrying = replace(flow, remaining=96)
    assert opens(hurrying, 4) == 2 * STEP, "what has not left yet leaves in what is left of the day"
    later = replace(flow, next=MIDNIGHT + 3 * STEP)
    assert [opens(later, 0), opens(later, 2)] == [3 * STEP, 5 * STEP]
    assert opens(replace(flow, next=MIDNIGHT + SPREAD), 0) == timedelta(0), "the relay keeps it so long"
    full = Ceiling("d google", 0, daily=48, next=MIDNIGHT + DAY)
    assert [opens(full, 0), opens(full, 2)] == [DAY, DAY + 2 * STEP]
    unknown = Ceiling("d google", 0, next=MIDNIGHT + STEP)
    assert opens(unknown, 50) == STEP, "an older relay does not tell how many leave on a day"


@pytest.mark.parametrize(
    ("ahead", "told"), [(0, 0), (19, 0), (20, 20), (24, 20), (37, 40), (96, 100), (140, 100), (2600, 3000)]
)
def test_a_number_of_letters_is_told_by_its_first_digit(ahead: int, told: int) -> None:
    assert told_ahead(ahead) == told


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def visitor(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    """Of a front that lets two letters leave on a day."""
    options = replace(OPTIONS, admission_per_day=2)
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


def _told(text: str) -> str:
    (moment,) = re.findall(r"(\d+ November, \d\d:\d\d) UTC(?:, at a moment|; until then)", text)
    return str(moment)


async def test_what_is_told_before_sending_is_told_after_and_happens(visitor: Visitor, clock: HandClock) -> None:
    told, names = list[str](), [f"r{n}@example.org" for n in range(7)]
    for name in names:
        fields = {"to": name, "signature": "friend", "message": f"Thank you, {name[:2]}.", "rules": "on"}
        _, page = await visitor.post("/en/preview", fields)
        link = (await visitor.send(page.fields["token"])).headers["Location"]
        if len(told) < 2:
            await visitor.until_arrived(len(told) + 1)
            assert "no room just now" not in page.text
            told.append("")
            continue
        after = (await visitor.get(link))[1].text
        assert _told(page.text) == _told(after)
        assert "Fewer than 20 letters stand before it." in page.text
        assert "Fewer than 20 letters stand before it." in after
        told.append(_told(after))
        clock.move(1)
    assert told == ["", "", *["22 November, 00:20"] * 2, *["23 November, 00:20"] * 2, "24 November, 00:20"]
    for days in (1, 2, 3):
        clock.move((MIDNIGHT + (days - 1) * DAY + SPREAD - clock.now()).total_seconds())
        await visitor.until_arrived(min(2 + 2 * days, 7))
    left = [letter.recipient for letter in visitor.front.relay.letters.values()]
    assert [set(left[n : n + 2]) for n in (0, 2, 4, 6)] == [set(names[n : n + 2]) for n in (0, 2, 4, 6)]


@pytest.mark.parametrize("remaining", [0, 40], ids=["no room today", "room today"])
async def test_what_is_told_of_a_small_place_moves_with_no_letter_ahead(
    tmp_path: Path, clock: HandClock, remaining: int
) -> None:
    """Else a preview would tell whoever polls it how many letters wait for a domain that hardly anybody writes to."""
    previews, pages = set[str](), set[str]()
    async with running_front(tmp_path, clock) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        front.relay.room = Admission(remaining, NOON + (2 * SPREAD if remaining else DAY), "example.org", 48)
        for n in range(6):
            _, page = await visitor.post("/en/preview", {"token": await visitor.preview(), "action": "translate"})
            previews.add(_sentence(page.text, "Yours is expected"))
            link = (await visitor.send(await visitor.preview(message=f"Letter {n}."))).headers["Location"]
            pages.add(_sentence((await visitor.get(link))[1].text, "It leaves "))
            clock.move(1)
    (preview,), (told,) = previews, pages
    assert told.startswith("It leaves by 21 November" if remaining else "It leaves by 22 November")
    assert ("leave by 22 November;" in preview) is not bool(remaining)


def _sentence(text: str, begins: str) -> str:
    """The sentence that begins so; "" if there is none."""
    found = re.search(rf"{begins}[^.]*\.", text)
    return found[0] if found else ""


async def test_the_row_moves_on_and_tells_only_roughly(visitor: Visitor, clock: HandClock) -> None:
    visitor.front.relay.room = Admission(0, NOON + DAY, "google", 48)
    links = []
    for n in range(27):
        links.append((await visitor.send(await visitor.preview(message=f"Letter {n}."))).headers["Location"])
        clock.move(1)
    assert "Fewer than 20 letters stand before it" in (await visitor.get(links[19]))[1].text
    assert "About 30 letters stand before it" in (await visitor.get(links[26]))[1].text
    assert "Environ 30 lettres partent avant elle" in (await visitor.get(f"/fr{links[26]}"))[1].text
    for link in links[:3]:
        await visitor.post(link, {"action": "cancel"})
    assert "About 20 letters stand before it" in (await visitor.get(links[26]))[1].text
    _, page = await visitor.post("/en/preview", {"token": await visitor.preview(), "action": "translate"})
    assert "About 20 letters stand before it" in page.text


async def test_who_left_for_its_writer_stands_before_nobody(visitor: Visitor, clock: HandClock) -> None:
    """A letter whose recipient has reported one waits behind the scenes: a row that kept it would tell."""
    visitor.front.relay.room = Admission(0, NOON + DAY)
    for n in range(2):
        await visitor.send(await visitor.preview(message=f"Letter {n}."))
        clock.move(1)
    first, second = await _waiting(visitor.front)
    row = Row(visitor.front.database)
    told = [await row.place_of(first), await row.place_of(second)]
    assert [place.ahead for place in told if place] == [0, 1]
    await WithheldTable(visitor.front.database).delay(first, clock.now() + DAY, Left(clock.now(), b"place"))
    place = await row.place_of(second)
    assert place is not None
    assert place.ahead == 0


async def test_a_letter_that_meets_no_ceiling_has_no_spot(visitor: Visitor, clock: HandClock) -> None:
    visitor.front.relay.away = True
    link = (await visitor.send(await visitor.preview())).headers["Location"]
    assert await Row(visitor.front.database).place_of((await _waiting(visitor.front))[0]) is None
    assert "stand before it" not in (await visitor.get(link))[1].text


async def test_where_a_mail_asks_first_no_spot_is_told(tmp_path: Path) -> None:
    """A mail that only asks stands elsewhere than a letter: its spot would tell who has read one from here."""
    options = replace(OPTIONS, admission_per_day=1, doorbell=True)
    async with running_front(tmp_path, options=options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        await visitor.send(await visitor.preview())
        await visitor.until_arrived()
        link = (await visitor.send(await visitor.preview(message="Another one."))).headers["Location"]
        await visitor.until_told(link, "It leaves around 22 November")
        assert "stand before it" not in (await visitor.get(link))[1].text


async def _waiting(front: Front) -> list[str]:
    sql = "SELECT letter_id FROM web_handover ORDER BY promised"
    return [name for (name,) in await front.database.read(lambda connection: list(connection.execute(sql)))]
