"""Where the marks of a plot stand: pure. What is drawn from it is an SVG without script (`templates/plot.html`).

Widths are parts of a hundred of the drawing's, heights are pixels: so a plot is as wide as its page, from 320 pixels
on, and its letters stay as large as the page's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

HEIGHT: Final = 128
"""Of what is drawn, in pixels, without what is written below it."""

_TOP: Final = 22
_LEFT: Final = 15.0
_RIGHT: Final = 99.0
_FILLED: Final = 0.72
"""How much of its share of the width a bar takes."""

_LOWEST: Final = 2.0
"""Pixels: what is next to nothing is seen to be there."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across, and the value it stands for."""

    y: float
    value: float


@dataclass(frozen=True, slots=True)
class Mark:
    """One value: a bar from `y` down to the axis, or a dot; `x` is its middle."""

    x: float
    y: float
    width: float

    @property
    def left(self) -> float:
        """Where a bar begins."""
        return round(self.x - self.width / 2, 2)

    @property
    def height(self) -> float:
        """How high a bar is."""
        return round(HEIGHT - self.y, 1)


@dataclass(frozen=True, slots=True)
class Plot:
    """Everything that is drawn; `steps` join neighbours that are both known."""

    marks: tuple[Mark, ...]
    steps: tuple[tuple[Mark, Mark], ...]
    ticks: tuple[Tick, ...]
    left: float = _LEFT
    right: float = _RIGHT
    height: int = HEIGHT


def plot(values: Sequence[float | None]) -> Plot:
    """Values beside each other, from nought up; None leaves a gap."""
    top = rounded_up(max((value for value in values if value is not None), default=0.0))
    share = (_RIGHT - _LEFT) / max(1, len(values))
    marks = [
        None if value is None else Mark(round(_LEFT + share * (n + 0.5), 2), _y(value, top), round(share * _FILLED, 2))
        for n, value in enumerate(values)
    ]
    return Plot(
        marks=tuple(mark for mark in marks if mark is not None),
        steps=tuple((one, other) for one, other in pairwise(marks) if one is not None and other is not None),
        ticks=tuple(Tick(_y(value, top, lowest=0.0), value) for value in (0.0, top / 2, top)),
    )


def rounded_up(value: float) -> float:
    """The next of 2, 4, 10, 20, 40, 100 …: it and its half read well on an axis."""
    power = 1.0
    while True:
        for first in (2.0, 4.0, 10.0):
            if first * power >= value:
                return first * power
        power *= 10.0


def _y(value: float, top: float, lowest: float = _LOWEST) -> float:
    return round(HEIGHT - max(lowest, (HEIGHT - _TOP) * value / top), 1)
