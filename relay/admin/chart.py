"""Charts as numbers: what a template needs to draw stacked bars and a line over them. Pure.

A chart is drawn in a box of `WIDTH` × `HEIGHT` that the page stretches to its own width; words stand beside the box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 960.0
HEIGHT: Final = 240.0
_GAP: Final = 0.18
"""The part of a bar's place that stays empty."""


@dataclass(frozen=True, slots=True)
class Part:
    """A rectangle of one kind."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Rectangles, the corners of the line, and the number at the upper edge."""

    parts: tuple[Part, ...]
    line: str
    top: int


def stacked(series: Mapping[str, Sequence[int]], line: Sequence[int] = ()) -> Chart:
    """Bars of what `series` count by kind, place by place, the first kind lowest; `line` runs over them in steps."""
    places = max([len(line), *(len(counts) for counts in series.values())], default=0)
    sums = [sum(counts[place] for counts in series.values()) for place in range(places)]
    top = ceiling(max([*sums, *line], default=0))
    step = WIDTH / max(places, 1)
    parts: list[Part] = []
    for place in range(places):
        below = 0.0
        for kind, counts in series.items():
            height = HEIGHT * counts[place] / top
            if height:
                left = step * (place + _GAP / 2)
                parts.append(Part(kind, _r(left), _r(HEIGHT - below - height), _r(step * (1 - _GAP)), _r(height)))
            below += height
    corners = [
        f"{_r(step * (place + side))},{_r(HEIGHT - HEIGHT * count / top)}"
        for place, count in enumerate(line)
        for side in (0, 1)
    ]
    return Chart(tuple(parts), " ".join(corners), top)


def ceiling(most: int) -> int:
    """The next round number: 1, 2 or 5 times a power of ten."""
    scale = 1
    while True:
        for digit in (1, 2, 5):
            if digit * scale >= most:
                return digit * scale
        scale *= 10


def _r(value: float) -> float:
    return round(value, 2)
