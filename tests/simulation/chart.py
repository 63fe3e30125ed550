"""Charts as SVG: lines over simulated time, one panel above the other. Nothing but text is needed to draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import log10
from pathlib import Path
from typing import Final

WIDTH: Final = 960
PANEL: Final = 220
LEFT: Final = 70
RIGHT: Final = 150
TOP: Final = 40
GAP: Final = 50

_COLOURS: Final = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#0e7490", "#bf3989", "#57606a")


@dataclass(slots=True)
class Panel:
    """One panel: its title, and lines of (seconds, value)."""

    title: str
    lines: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def add(self, line: str, at: float, value: float) -> None:
        """One more point of a line."""
        self.lines.setdefault(line, []).append((at, value))


def draw(title: str, panels: Sequence[Panel]) -> str:
    """The chart as SVG text."""
    height = TOP + len(panels) * (PANEL + GAP)
    end = max((line[-1][0] for panel in panels for line in panel.lines.values() if line), default=1.0) or 1.0
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
            ' font-size="12">'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="16">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (PANEL + GAP) + 16, end)
    parts.append("</svg>\n")
    return "\n".join(parts)


def write(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Draw into a file."""
    path.write_text(draw(title, panels), encoding="utf-8")


def _panel(panel: Panel, top: int, end: float) -> list[str]:
    highest = max((value for line in panel.lines.values() for _, value in line), default=1.0) or 1.0
    step = _step(highest)
    highest = step * -(-highest // step)
    wide, bottom = WIDTH - LEFT - RIGHT, top + PANEL
    parts = [f'<text x="{LEFT}" y="{top - 8}" font-weight="bold">{escape(panel.title)}</text>']
    value = 0.0
    while value <= highest + step / 2:
        y = bottom - PANEL * value / highest
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        value += step
    for part in range(5):
        x = LEFT + wide * part / 4
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_time(end * part / 4)}</text>')
    for number, (name, line) in enumerate(panel.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(
            f"{LEFT + wide * at / end:.1f},{bottom - PANEL * value / highest:.1f}" for at, value in _thinned(line)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        label = f'x="{LEFT + wide + 10}" y="{top + 12 + 16 * number}" fill="{colour}"'
        parts.append(f"<text {label}>{escape(name)}</text>")
    return parts


def _thinned(line: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """About a point a pixel, peaks kept."""
    share = -(-len(line) // WIDTH)
    if share <= 1:
        return line
    return [max(line[i : i + share], key=lambda point: point[1]) for i in range(0, len(line), share)]


def _step(highest: float) -> float:
    """A round distance between grid lines: four to eight of them."""
    size = 10.0 ** int(log10(highest / 4)) if highest >= 4 else 10.0 ** (int(log10(highest / 4)) - 1)
    return next((size * factor for factor in (1, 2, 5, 10, 20, 50) if highest / (size * factor) <= 8), size * 100)


def _time(seconds: float) -> str:
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:.1f} d"
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min"
