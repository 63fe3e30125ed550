"""The history of the seeds: a line of text for each, and a chart as SVG. Pure: rows in, text out.

A place is told by shape and letter, never by colour alone; the chart brings its colours for light and for dark
surroundings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from itertools import groupby
from typing import Final, assert_never

from relay.figures.seeds import Landing, SeedLetter

MARKS: Final[Mapping[Landing, str]] = {
    Landing.INBOX: ".",
    Landing.JUNK: "J",
    Landing.OTHER: "o",
    Landing.MISSING: "x",
    Landing.REFUSED: "R",
    Landing.WAITING: "w",
}
_BARS: Final = "▁▂▃▄▅▆▇█"
_STEPS: Final = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds below which each bar but the last stands."""
_SHOWN: Final = 30

_WIDTH: Final = 960
_LEFT: Final = 190
_RIGHT: Final = 130
_ROW: Final = 44
_TOP: Final = 58
_STYLE: Final = (
    "<style>text{fill:#1f2328}.paper{fill:#fff}.grid{stroke:#d8dee4}.good{fill:#1a7f37}.bad{fill:#c4372c}"
    ".odd{fill:#9a6700}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.grid{stroke:#30363d}"
    ".good{fill:#5fd07d}.bad{fill:#ff8a7f}.odd{fill:#e3b341}}</style>"
)


def by_seed(letters: Sequence[SeedLetter]) -> dict[str, list[SeedLetter]]:
    """The letters of each seed, oldest first."""
    ordered = sorted(letters, key=lambda one: (one.seed, one.sent))
    return {seed: list(group) for seed, group in groupby(ordered, key=lambda one: one.seed)}


def sparkline(letters: Sequence[SeedLetter]) -> str:
    """The newest letters of one seed: where each arrived, and how long each took."""
    newest = letters[-_SHOWN:]
    places = "".join(MARKS[one.landing] for one in newest)
    return f"{places}  {''.join(_bar(one.delay) for one in newest)}"


def _bar(delay: float | None) -> str:
    if delay is None:
        return " "
    return _BARS[sum(delay >= step for step in _STEPS)]


def share_of_inbox(letters: Sequence[SeedLetter]) -> str:
    """How many of the letters that left arrived in the inbox."""
    left = [one for one in letters if one.landing is not Landing.WAITING]
    return f"{sum(one.landing is Landing.INBOX for one in left)} of {len(left)}"


def chart(letters: Sequence[SeedLetter], now: datetime) -> str:
    """One row a seed, time from left to right; a mark a letter, its delay in the tooltip."""
    seeds = by_seed(letters)
    begin = min((one.sent for one in letters), default=now) - timedelta(minutes=1)
    height = _TOP + max(1, len(seeds)) * _ROW + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"',
        ' font-family="sans-serif" font-size="13" aria-label="Where letters to the seeds arrived">',
        _STYLE,
        f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
        '<text x="16" y="24" font-size="17">Where letters to the seeds arrived</text>',
        '<text x="16" y="44">● inbox   ■ junk   ▲ another folder, or still waiting   ✕ missing or refused</text>',
    ]
    if not letters:
        parts.append(f'<text x="16" y="{_TOP + 26}">no letters yet: leak doctor --seeds</text>')
    for row, (seed, group) in enumerate(seeds.items()):
        y = _TOP + row * _ROW + _ROW // 2
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="16" y="{y + 4}">{escape(seed[:24])}</text>')
        parts.append(f'<text x="{_WIDTH - _RIGHT + 18}" y="{y + 4}">inbox {share_of_inbox(group)}</text>')
        parts += (_mark(one, _x(one.sent, begin, now), y) for one in group)
    parts += _axis(begin, now, height - 24)
    return "\n".join([*parts, "</svg>\n"])


def _x(at: datetime, begin: datetime, now: datetime) -> float:
    share = (at - begin) / max(now - begin, timedelta(seconds=1))
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(1.0, share)


def _mark(letter: SeedLetter, x: float, y: float) -> str:
    delay = "" if letter.delay is None else f", after {letter.delay:.0f} s"
    title = escape(f"{letter.sent:%Y-%m-%d %H:%M}: {letter.landing.value}{delay}")
    match letter.landing:
        case Landing.INBOX:
            shape = f'<circle class="good" cx="{x:.1f}" cy="{y}" r="5"'
        case Landing.JUNK:
            shape = f'<rect class="bad" x="{x - 5:.1f}" y="{y - 5}" width="10" height="10"'
        case Landing.OTHER | Landing.WAITING:
            shape = f'<path class="odd" d="M{x - 6:.1f} {y + 5}h12l-6 -11z"'
        case Landing.MISSING | Landing.REFUSED:
            cross = f"M{x - 6:.1f} {y - 4}l2 -2 4 4 4 -4 2 2 -4 4 4 4 -2 2 -4 -4 -4 4 -2 -2 4 -4z"
            shape = f'<path class="bad" d="{cross}"'
        case _:
            assert_never(letter.landing)
    return f"{shape}><title>{title}</title>{_END[shape[1:5]]}"


_END: Final = {"circ": "</circle>", "rect": "</rect>", "path": "</path>"}


def _axis(begin: datetime, now: datetime, y: float) -> Iterator[str]:
    form = "%H:%M" if now - begin < timedelta(days=1) else "%Y-%m-%d"
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * share
        at = begin + (now - begin) * share
        yield f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{at.strftime(form)}</text>'
