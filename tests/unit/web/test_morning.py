"""Tomorrow morning: the minute by lot, what the writer is told, and that a letter does not leave before it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from relay.settings.front import WebSettings
from tests.support.front import OPTIONS, running_front
from tests.support.hand_clock import HandClock
from tests.support.visitor import LETTER, Visitor
from web.morning import tomorrow_morning

PARIS = ZoneInfo("Europe/Paris")


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def visitor(tmp_path: Path, clock: HandClock) -> AsyncIterator[Visitor]:
    options = replace(
        OPTIONS, time_zone=PARIS, cool_down=timedelta(minutes=5), hand_over_every=timedelta(milliseconds=5)
    )
    async with running_front(tmp_path, clock, options) as front, aiohttp.ClientSession() as session:
        yield Visitor(front, session)


@pytest.mark.parametrize(
    ("now", "chance", "due"),
    [
        (datetime(2026, 11, 21, 12, 0, tzinfo=UTC), 0.0, datetime(2026, 11, 22, 6, 0, tzinfo=UTC)),
        (datetime(2026, 11, 21, 12, 0, tzinfo=UTC), 0.9999, datetime(2026, 11, 22, 7, 55, tzinfo=UTC)),
        # There it is tomorrow already.
        (datetime(2026, 11, 21, 23, 30, tzinfo=UTC), 0.5, datetime(2026, 11, 23, 7, 0, tzinfo=UTC)),
        # The clocks go forward in the night.
        (datetime(2026, 3, 28, 12, 0, tzinfo=UTC), 0.0, datetime(2026, 3, 29, 5, 0, tzinfo=UTC)),
    ],
)
def test_the_minute_is_between_seven_and_nine_of_the_next_day_there(
    now: datetime, chance: float, due: datetime
) -> None:  # SND 3
    assert tomorrow_morning(now, PARIS, chance) == due


@pytest.mark.parametrize(
    ("language", "told", "stage"),
    [("en", "It leaves tomorrow morning", "It waits before"), ("fr", "Elle part demain matin", "Elle attend avant")],
)
async def test_a_letter_leaves_in_the_morning_and_not_before(
    visitor: Visitor, clock: HandClock, language: str, told: str, stage: str
) -> None:  # SND 3
    _, form = await visitor.get(f"/{language}/")
    assert re.search(r"7.* 9.* \((Paris time|heure locale à Paris)\),", form.text)
    _, page = await visitor.post(f"/{language}/preview", LETTER | {"leaves": "morning"})
    assert told in page.text
    token = page.fields["token"]
    _, again = await visitor.post(f"/{language}/preview", {"token": token, "action": "edit"})
    assert 'value="morning" checked' in again.document
    response, _ = await visitor.post(f"/{language}/preview", {"token": token, "action": "send"})
    link = response.headers["Location"]
    _, status = await visitor.get(link)
    assert stage in status.text
    assert re.search(r"22 [Nn]ovemb(er|re), 0?[78](:|.h.)[0-5][05] \((Paris time|heure locale à Paris)\)", status.text)
    assert "place in the row" not in status.text
    clock.move(17 * 3600)  # five in the morning, UTC
    _, status = await visitor.get(link)
    assert stage in status.text
    assert not visitor.front.relay.arrivals
    clock.move(3 * 3600)
    await visitor.until_arrived()


async def test_until_the_morning_the_writer_may_take_it_back(visitor: Visitor, clock: HandClock) -> None:  # SND 3
    link = (await visitor.send(await visitor.preview(leaves="morning"))).headers["Location"]
    clock.move(17 * 3600)
    await visitor.post(link, {"action": "cancel"})
    await visitor.until_told(link, "You took it back")
    clock.move(3 * 3600)
    later = (await visitor.send(await visitor.preview(message="Another."))).headers["Location"]
    clock.move(600)
    await visitor.until_arrived()
    assert later != link
    assert visitor.front.relay.arrivals == 1


def test_an_unknown_time_zone_is_a_mistake_in_the_settings() -> None:
    assert WebSettings(time_zone="Europe/Paris").time_zone == "Europe/Paris"
    for wrong in ("Paris", "", "../passwd", "/etc/passwd"):
        with pytest.raises(ValueError, match="is no time zone"):
            WebSettings(time_zone=wrong)
