"""Charts as numbers: what a template needs to draw stacked bars and a line over them, or stacked areas. Pure.

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


@dataclass(frozen=True, slots=True)
class Areas:
    """The outline of each kind's area, as an SVG path; the kinds, the lowest first, and the number at the upper edge.

    `unknown` is the outline of what nobody counted.
    """

    outlines: Mapping[str, str]
    unknown: str
    top: int


def areas(series: Mapping[str, Sequence[int | None]]) -> Areas:
    """Steps that stand on each other, the first kind lowest. Where one kind is None, that place is unknown."""
    columns = list(zip(*series.values(), strict=True))
    runs = _runs([None not in column for column in columns])
    top = ceiling(max((sum(value or 0 for value in column) for column in columns), default=0))
    step = WIDTH / max(1, len(columns))
    outlines: dict[str, str] = {}
    ground = below = [0] * len(columns)
    for kind, counts in series.items():
        above = [low + (count or 0) for low, count in zip(below, counts, strict=True)]
        filled = [run for run in runs if run.known and above[run.first : run.end] != below[run.first : run.end]]
        outlines[kind] = " ".join(_outline(run, above, below, step, top) for run in filled)
        below = above
    unknown = " ".join(_outline(run, [top] * len(columns), ground, step, top) for run in runs if not run.known)
    return Areas(outlines, unknown, top)


@dataclass(frozen=True, slots=True)
class _Run:
    first: int
    end: int
    known: bool


def _runs(known: Sequence[bool]) -> list[_Run]:
    """Neighbours that are alike."""
    found: list[_Run] = []
    for place, one in enumerate(known):
        if found and found[-1].known == one:
            found[-1] = _Run(found[-1].first, place + 1, one)
        else:
            found.append(_Run(place, place + 1, one))
    return found


def _outline(run: _Run, above: Sequence[float], below: Sequence[float], step: float, top: int) -> str:
    """There along the upper edge, and back along the lower one."""
    there = [f"V{_y(above[n], top)}H{_r(step * (n + 1))}" for n in range(run.first, run.end)]
    back = [f"V{_y(below[n], top)}H{_r(step * n)}" for n in reversed(range(run.first, run.end))]
    return f"M{_r(step * run.first)} {_y(below[run.first], top)}{''.join(there + back)}Z"


def _y(value: float, top: int) -> float:
    return _r(HEIGHT - HEIGHT * value / top)


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
