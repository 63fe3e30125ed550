"""A letter with other words in the place of some: which characters stand for which, and what is read once more.

Below `disguise`, which knows what to put. Linear in the length of a letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from web.moderation.folding import fold

CHUNK: Final = re.compile(r"\S+")
"""What stands between two blanks."""
_AROUND: Final = 90
"""Characters at both sides of what was written out that are read with it."""
_MOST_READ: Final = 500
"""Characters of a part that are read once more."""
_A_PART: Final = 400


class Change(NamedTuple):
    """Characters `begin` to `stop` of what was written out, and `start` to `end` of the letter that they stand for."""

    begin: int
    stop: int
    start: int
    end: int
    sure: bool


@dataclass(frozen=True, slots=True)
class Meant:
    """A letter, or a part of it, with words written out."""

    text: str
    changes: Sequence[Change]


class Item(NamedTuple):
    """A word of a letter, folded, and what is put for it; a tuple, since a letter makes hundreds."""

    word: str
    start: int
    end: int
    put: str | None = None
    sure: bool = True

    def __str__(self) -> str:
        return self.word if self.put is None else self.put


def folded_by_word(text: str) -> tuple[str, Sequence[int]]:
    """As `fold`, by word: of a letter in which Greek is quoted the other words are Latin."""
    if text.isascii():
        return fold(text)
    letters: list[str] = []
    places: list[int] = []
    at = 0
    for chunk in CHUNK.finditer(text):
        if chunk[0].isascii():
            continue
        start, end = chunk.span()
        letters.append(text[at:start].lower())
        places += range(at, start)
        folded, inside = fold(chunk[0])
        letters.append(folded)
        places += [start + place for place in inside]
        at = end
    letters.append(text[at:].lower())
    places += range(at, len(text))
    return "".join(letters), places


def windows(text: str, items: Sequence[Item], is_grave: Callable[[str], bool], at: int) -> Iterator[Meant]:
    """The text with what was put for its words, as far as it is read once more: first what surrounds grave words."""
    changed = [one for one in items if one.put is not None]
    first = sorted(changed, key=lambda one: not any(map(is_grave, str(one).split())))
    left = _MOST_READ
    read: list[range] = []
    for one in first:
        if any(one.start in some for some in read):
            continue
        start, end = max(0, one.start - _AROUND), min(len(text), one.end + _AROUND)
        start = start if start == 0 else text.rfind(" ", 0, start) + 1
        if end - start > left:
            return
        left -= end - start
        read.append(range(start, end))
        yield _put_in(
            text, [other for other in changed if start <= other.start and other.end <= end], range(start, end), at
        )


def _put_in(text: str, items: Sequence[Item], part: range, offset: int) -> Meant:
    written: list[str] = []
    changes: list[Change] = []
    at, size = part.start, 0
    for one in sorted(items, key=lambda one: one.start):
        between, put = text[at : one.start], str(one)
        size += len(between)
        changes.append(Change(size, size + len(put), offset + one.start, offset + one.end, one.sure))
        size += len(put)
        written += [between, put]
        at = one.end
    written.append(text[at : part.stop])
    return Meant("".join(written), changes)


def parts_of(letter: str) -> Iterator[range]:
    """A letter in parts of some sentences: most of a long one is plain."""
    start = 0
    while start < len(letter):
        end = start + _A_PART
        blank = letter.rfind(" ", start + 1, end)
        end = len(letter) if end >= len(letter) else blank + 1 if blank > start else end
        yield range(start, end)
        start = end
