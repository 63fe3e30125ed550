"""What came in and what was stopped, week by week for everybody and day by day for moderators: true, and no oracle."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.clock import to_millis
from tests.support.front import Front
from tests.support.hand_clock import HandClock
from tests.support.moderator import Moderator
from tests.support.visitor import Visitor
from tests.unit.web.test_desk import held
from tests.unit.web.test_ladder import FOREIGN, INSULT
from web.catalogue import Language, load_words
from web.charts import FEWEST, STEP, Charts, public_rate, stepped
from web.history import Stretch, full_weeks, growth, together
from web.plot import HEIGHT, plot, rounded_up

DAY = 86_400_000
MONDAY = date(2026, 11, 16)  # five days before the clock's


async def put(front: Front, day: date, what: str, number: int, kind: str = "") -> None:
    at = (day - date(1970, 1, 1)).days * DAY
    sql = "INSERT INTO web_day_count (day, what, kind, number) VALUES (?, ?, ?, ?)"
    await front.database.write(lambda connection: connection.execute(sql, (at, what, kind, number)))


def a_week(first: date = MONDAY, **more: object) -> Stretch:
    return replace(Stretch(first, 1000, {}, {}, 0, 0), **more)  # type: ignore[arg-type]


def weeks_of(page: str, title: str) -> str:
    """The table below a plot, as text."""
    return re.sub(r"<[^>]*>|\s+", " ", page.partition(f">{title}</figcaption>")[2].partition("</table>")[0])


async def test_a_week_is_told_once_it_is_over_and_in_steps_of_five(
    visitor: Visitor, clock: HandClock
) -> None:  # RCP 12
    front = visitor.front
    for n, letters in enumerate((300, 200, 107)):
        await put(front, MONDAY - timedelta(days=7 - n), "letters", letters)
    await put(front, MONDAY - timedelta(days=3), "reports", 12)
    await put(front, MONDAY - timedelta(days=3), "held", 9, "pile-on")
    await put(front, MONDAY - timedelta(days=3), "held", 20, "rules")
    for n in range(8):
        await put(front, MONDAY - timedelta(days=7 - n), "refusing", 40 + n)
    await put(front, MONDAY, "letters", 5000)
    page = (await visitor.get("/en/transparency"))[1].document
    assert "Week of Letters 9 November 605 to 609 " in re.sub(" +", " ", weeks_of(page, "Letters taken"))
    assert "25 to 29" in weeks_of(page, "Letters that a person read first")
    assert "5 to 9" in weeks_of(page, "Letters held because many people wrote to one")
    # 10 to 14 of 605 to 609, in the middle of both.
    assert re.search(r"10 to 14\s+20\s", weeks_of(page, "Reports by recipients"))
    assert re.search(r"5 to 9\s+12\s", weeks_of(page, "Growth of the addresses that want no letters"))
    assert "5,000" not in page, "this week is not over"
    page = (await visitor.get("/fr/transparency"))[1].document
    assert "605 à 609" in weeks_of(page, "Lettres prises")
    clock.move(3 * 86400)
    assert "5,000 to 5,004" in weeks_of((await visitor.get("/en/transparency"))[1].document, "Letters taken")


async def test_one_report_more_changes_nothing_that_is_told(visitor: Visitor) -> None:
    last = MONDAY - timedelta(days=7)
    await put(visitor.front, last, "letters", 400)
    await put(visitor.front, last, "reports", 5)
    await visitor.until_told("/en/transparency", "because their owners said so")
    before = (await visitor.get("/en/transparency"))[1].document
    more = "UPDATE web_day_count SET number = number + 1 WHERE what = 'reports'"
    for _ in range(4):
        await visitor.front.database.write(lambda connection: connection.execute(more))
        assert (await visitor.get("/en/transparency"))[1].document == before


@given(st.integers(0, 3000), st.integers(0, 30_000))
def test_a_rate_tells_no_more_than_the_counts_beside_it(happened: int, letters: int) -> None:
    rate = public_rate(happened, letters)
    assert (rate is None) == (letters < FEWEST)
    assert (
        rate == public_rate(stepped(happened), stepped(letters)) == public_rate(stepped(happened) + STEP - 1, letters)
    )
    if rate is not None and rate.below:
        assert happened < STEP
        assert rate.value <= 1000 * STEP / FEWEST


def test_what_is_too_little_for_a_rate_leaves_a_gap() -> None:
    weeks = [a_week(reports=50), a_week(letters=FEWEST - 1, reports=50), a_week(reports=4), a_week(opt_outs=None)]
    charts = Charts(load_words()[Language.EN]).of_weeks(weeks)
    assert [row[1:] for row in charts["reports"].rows[::-1]] == [
        ("50 to 54", "52"),
        ("50 to 54", "–"),
        ("fewer than 5", "below 5"),
        ("fewer than 5", "below 5"),
    ]
    assert len(charts["reports"].plot.marks) == 3
    assert charts["opt_outs"].rows[0][1:] == ("not known", "–")
    assert Charts(load_words()[Language.EN]).rules_of_weeks([a_week(refused={"hate": 4, "threat": 5})]).keys() == {
        "threat"
    }


def test_a_week_that_began_before_counting_did_is_a_week() -> None:
    days = [a_week(MONDAY + timedelta(days=n), letters=n, opt_outs=None if n == 3 else 1) for n in range(2, 9)]
    (week,) = full_weeks(days, MONDAY + timedelta(days=8))
    assert (week.first, week.letters, week.opt_outs) == (MONDAY, 2 + 3 + 4 + 5 + 6, None)


def test_a_plot_stands_on_its_axis_and_below_its_top() -> None:
    drawn = plot([0, 5, None, 20])
    assert [tick.value for tick in drawn.ticks] == [0, 10, 20]
    assert drawn.ticks[0].y == HEIGHT
    none, five, twenty = drawn.marks
    assert (none.height, twenty.y) == (2.0, drawn.ticks[2].y)
    assert five.height == pytest.approx(twenty.height / 4)
    assert drawn.left < none.left < five.left < twenty.left
    assert twenty.left + twenty.width < drawn.right
    assert drawn.steps == ((none, five),)
    assert [rounded_up(value) for value in (0, 2, 2.1, 5, 11, 99, 101, 4001)] == [2, 2, 4, 10, 20, 100, 200, 10000]
    assert plot([]).marks == plot([None]).marks == ()


def days_of(*levels: int | None) -> list[int | None]:
    """The growth of each day from a Monday on; a level for each morning, None where nobody looked."""
    begins = (MONDAY - date(1970, 1, 1)).days * DAY
    grown = growth([(begins + n * DAY, one) for n, one in enumerate(levels) if one is not None])
    return [grown.get(begins + n * DAY) for n in range(len(levels) - 1)]


def test_addresses_that_take_a_refusal_back_are_taken_off() -> None:
    assert days_of(40, 43, 41, 41) == [3, -2, 0]
    week = together(MONDAY, [a_week(MONDAY, opt_outs=one) for one in days_of(40, 43, 41, 41)])
    assert week.opt_outs == 1, "not the three that came"
    fewer = together(MONDAY, [a_week(MONDAY, opt_outs=-2)])
    assert fewer.opt_outs == -2
    assert Charts(load_words()[Language.EN]).of_days([fewer])["opt_outs"].rows[0][1] == "0"
    assert days_of(40, None, 44, 44) == [0, 4, 0], "within a week it is that week's"
    assert days_of(40, *[None] * 8, 90) == [None] * 9, "in which of two weeks it grew, nobody knows"


async def test_moderators_see_each_day_as_it_was(visitor: Visitor, ann: Moderator, clock: HandClock) -> None:
    await visitor.send(await visitor.preview())
    await visitor.send(await visitor.preview(message=FOREIGN))
    await visitor.post("/en/preview", {"to": "a@example.org", "signature": "friend", "message": INSULT, "rules": "on"})
    (letter,) = await held(ann)
    clock.move(3 * 3600)
    await ann.post(f"/desk/letter/{letter}", action="refuse", reason="No.", **{"rule-threat": "on"})
    clock.move(60)
    page = (await ann.get("/desk"))[1]
    assert "Today so far: 2 letters taken" in page.text
    assert "1 held (0 for a pile-on), 0 reported" in page.text
    assert "had waited 3 hours at most" in page.text
    assert re.search(r"21 November\s+2\s", weeks_of(page.document, "Letters taken"))
    assert re.search(r"21 November\s+3\s", weeks_of(page.document, "Median wait of what was decided about"))
    assert "Threat" in page.document.partition("Letters refused, by rule")[2]
    rows = await visitor.front.database.read(
        lambda c: list(c.execute("SELECT day, what, kind, number FROM web_day_count WHERE what <> 'refusing'"))
    )
    today = to_millis(clock.now()) // DAY * DAY
    assert sorted(rows) == [(today, "held", "rules", 1), (today, "letters", "", 2)]


async def test_without_the_database_no_week_is_told(visitor: Visitor) -> None:
    assert "The first week is not over yet" in (await visitor.get("/en/transparency"))[1].text
    visitor.front.database.away = True
    page = (await visitor.get("/en/transparency"))[1]
    assert "We cannot count just now" in page.text
    assert "not over yet" not in page.text
