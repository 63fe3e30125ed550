"""A small chart as SVG: lines over a logarithmic number of deliveries. Nothing but text is needed to draw it.

It follows the reader's choice of light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from pathlib import Path
from typing import Final

from tests.simulation.chart import COLOURS, style

WIDTH: Final = 760
HEIGHT: Final = 340
LEFT: Final = 60
RIGHT: Final = 170
TOP: Final = 44
BOTTOM: Final = 36


@dataclass(frozen=True, slots=True)
class Line:
    """A named line of (deliveries, value) points."""

    name: str
    points: Sequence[tuple[float, float]]


def write_chart(path: Path, title: str, lines: Sequence[Line]) -> None:
    """Draw `lines` into an SVG file."""
    points = [point for line in lines for point in line.points]
    if points:
        path.write_text(draw(title, lines, points), encoding="utf-8")


def draw(title: str, lines: Sequence[Line], points: Sequence[tuple[float, float]]) -> str:
    """The chart as SVG text."""
    first, last = log10(min(x for x, _ in points)), log10(max(x for x, _ in points))
    step = 10 ** int(log10(max(y for _, y in points)))
    top = step * (1 + int(max(y for _, y in points) / step))
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - first) / ((last - first) or 1)
        return LEFT + wide * across, TOP + high * (1 - y / top)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        f' role="img" font-family="sans-serif" font-size="12" aria-label="{escape(title)}">',
        style(),
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for number in range(5):
        _, y = place(10**first, top * number / 4)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * number / 4:g}</text>')
    for size in sorted({x for x, _ in points}):
        x, _ = place(size, 0)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{size:,.0f}</text>')
    for number, line in enumerate(lines):
        colour = f'class="c{number % COLOURS}"'
        track = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        parts.append(f'<polyline {colour} points="{track}" fill="none" stroke-width="2"/>')
        left, y = LEFT + wide + 12, TOP + 8 + 18 * number
        parts.append(f'<line {colour} x1="{left}" x2="{left + 18}" y1="{y}" y2="{y}" stroke-width="4"/>')
        parts.append(f'<text x="{left + 24}" y="{y + 4}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
