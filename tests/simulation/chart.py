"""Charts as SVG: lines over simulated time, one panel above the other, with the times of faults shaded.

Nothing but text is needed to draw them. A chart brings its colours for light and for dark surroundings and follows
the reader's choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import log10
from pathlib import Path
from typing import Final

WIDTH: Final = 960
PANEL: Final = 180
LEFT: Final = 76
RIGHT: Final = 190
TOP: Final = 40
GAP: Final = 54

_LIGHT: Final = ("#0b62d6", "#c4372c", "#1a7f37", "#9a6700", "#7c46c9", "#0e7490", "#bf3989", "#57606a")
_DARK: Final = ("#6cb0ff", "#ff8a7f", "#5fd07d", "#e3b341", "#c3a0ff", "#56c8dc", "#f29ccb", "#a0a9b4")
COLOURS: Final = len(_LIGHT)
_TICKS: Final = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400, 172800)
"""Seconds between two marks of the time axis."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which something was the matter, in seconds: shaded in every panel, named in the first."""

    name: str
    begin: float
    end: float


@dataclass(slots=True)
class Panel:
    """One panel: its title, and lines of (seconds, value)."""

    title: str
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, line: str, at: float, value: float) -> None:
        """One more point of a line."""
        self.lines.setdefault(line, []).append((at, value))


def draw(title: str, panels: Sequence[Panel], spans: Sequence[Span] = ()) -> str:
    """The chart as SVG text."""
    height = TOP + len(panels) * (PANEL + GAP)
    end = max((line[-1][0] for panel in panels for line in panel.lines.values() if line), default=1.0) or 1.0
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"',
        f' font-family="sans-serif" font-size="13" aria-label="{escape(title)}">',
        style(),
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text x="{LEFT}" y="22" font-size="17">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        top = TOP + number * (PANEL + GAP) + 20
        parts += _spans(spans, top, end, named=number == 0)
        parts += _panel(panel, top, end)
    parts.append("</svg>\n")
    return "\n".join(parts)


def write(path: Path, title: str, panels: Sequence[Panel], spans: Sequence[Span] = ()) -> None:
    """Draw into a file."""
    path.write_text(draw(title, panels, spans), encoding="utf-8")


def style() -> str:
    """The colours for light and for dark: classes `paper`, `grid`, `span`, `c0` to `c7` (strokes), and all text."""

    def rules(ink: str, paper: str, grid: str, shade: str, colours: Sequence[str]) -> str:
        lines = "".join(f".c{i}{{stroke:{colour}}}" for i, colour in enumerate(colours))
        return f"text{{fill:{ink}}}.paper{{fill:{paper}}}.grid{{stroke:{grid}}}.span{{fill:{shade}}}{lines}"

    light = rules("#1f2328", "#ffffff", "#d8dee4", "#fff1d6", _LIGHT)
    dark = rules("#e6edf3", "#0d1117", "#30363d", "#33280f", _DARK)
    return f"<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>"


def _spans(spans: Sequence[Span], top: int, end: float, *, named: bool) -> list[str]:
    wide = WIDTH - LEFT - RIGHT
    parts = []
    for span in spans:
        x, right = LEFT + wide * span.begin / end, LEFT + wide * min(1.0, span.end / end)
        parts.append(f'<rect class="span" x="{x:.1f}" y="{top}" width="{max(2.0, right - x):.1f}" height="{PANEL}"/>')
        if named:
            parts.append(f'<text x="{x + 6:.1f}" y="{top + 16}" font-style="italic">{escape(span.name)}</text>')
    return parts


def _panel(panel: Panel, top: int, end: float) -> list[str]:
    highest = max((value for line in panel.lines.values() for _, value in line), default=1.0) or 1.0
    step = _step(highest)
    highest = step * -(-highest // step)
    wide, bottom = WIDTH - LEFT - RIGHT, top + PANEL
    parts = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{escape(panel.title)}</text>']
    value = 0.0
    while value <= highest + step / 2:
        y = bottom - PANEL * value / highest
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
        value += step
    for at in _times(end):
        x = LEFT + wide * at / end
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{_time(at, end)}</text>')
    for number, (name, line) in enumerate(panel.lines.items()):
        points = " ".join(
            f"{LEFT + wide * at / end:.1f},{bottom - PANEL * value / highest:.1f}" for at, value in _thinned(line)
        )
        colour = f'class="c{number % COLOURS}"'
        parts.append(f'<polyline {colour} points="{points}" fill="none" stroke-width="1.6" stroke-linejoin="round"/>')
        x, y = LEFT + wide + 12, top + 8 + 20 * number
        parts.append(f'<line {colour} x1="{x}" x2="{x + 18}" y1="{y}" y2="{y}" stroke-width="4"/>')
        parts.append(f'<text x="{x + 24}" y="{y + 4}">{escape(name)}</text>')
    return parts


def _thinned(line: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """About a point a pixel, peaks kept."""
    share = -(-len(line) // WIDTH)
    if share <= 1:
        return line
    return [max(line[i : i + share], key=lambda point: point[1]) for i in range(0, len(line), share)]


def _step(highest: float) -> float:
    """A round distance between grid lines: three to five of them."""
    size = 10.0 ** int(log10(highest / 4)) if highest >= 4 else 10.0 ** (int(log10(highest / 4)) - 1)
    return next((size * factor for factor in (1, 2, 5, 10, 20, 50) if highest / (size * factor) <= 5), size * 100)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _times(end: float) -> Sequence[float]:
    """Round times for the axis, eight at most."""
    step = next((tick for tick in _TICKS if end / tick <= 8), 86400 * -(-end // (8 * 86400)))
    return [step * number for number in range(int(end / step) + 1)]


def _time(seconds: float, end: float) -> str:
    """In the unit that suits an axis which ends at `end`."""
    if not seconds:
        return "0"
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if end >= 2 * unit:
            return f"{round(seconds / unit, 2):g} {name}"
    return f"{seconds:g} s"
