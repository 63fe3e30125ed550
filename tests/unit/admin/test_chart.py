"""Charts are to scale, and a costly answer is given again for as long as it took tenfold."""

from __future__ import annotations

import asyncio

import pytest

from relay.admin.chart import HEIGHT, WIDTH, ceiling, stacked
from relay.admin.remembered import Remembered
from tests.support.hand_clock import HandClock


@pytest.mark.parametrize(
    ("most", "top"), [(0, 1), (1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (4999, 5000), (5001, 10000)]
)
def test_the_upper_edge_is_round(most: int, top: int) -> None:
    assert ceiling(most) == top


def test_bars_stand_on_each_other_and_on_the_ground() -> None:
    chart = stacked({"good": [10, 0, 5], "bad": [10, 20, 0]}, [20, 0, 5])
    assert chart.top == 20
    assert [part.kind for part in chart.parts] == ["good", "bad", "bad", "good"]
    good, bad, alone, last = chart.parts
    assert (good.y + good.height, bad.y + bad.height) == (HEIGHT, good.y)
    assert (good.height, bad.height, alone.height, last.height) == (HEIGHT / 2, HEIGHT / 2, HEIGHT, HEIGHT / 4)
    assert good.x < alone.x < last.x
    assert last.x + last.width < WIDTH
    assert (
        chart.line == f"0.0,0.0 320.0,0.0 320.0,{HEIGHT} 640.0,{HEIGHT} 640.0,{HEIGHT * 3 / 4} {WIDTH},{HEIGHT * 3 / 4}"
    )


def test_nothing_is_drawn_of_nothing() -> None:
    assert stacked({}).parts == ()
    assert stacked({"good": [0, 0]}).parts == ()


async def test_a_costly_answer_is_given_again() -> None:
    clock, asked = HandClock(), 0

    async def read() -> int:
        nonlocal asked
        asked += 1
        clock.move(3)
        return asked

    answers = Remembered(read, clock)
    assert await asyncio.gather(*(answers.get() for _ in range(5))) == [1] * 5
    clock.move(29)
    assert await answers.get() == 1
    clock.move(1)
    assert await answers.get() == 2


async def test_a_failure_is_not_remembered() -> None:
    failing = True

    async def read() -> int:
        if failing:
            raise OSError
        return 1

    answers = Remembered(read, HandClock())
    with pytest.raises(OSError):  # noqa: PT011 - it has no words
        await answers.get()
    failing = False
    assert await answers.get() == 1
