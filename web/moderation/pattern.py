"""Sequences of words that a rule looks for, matched at all places of a letter at once.

Third step of moderation. The places of each word class are the bits of an integer; an element of a pattern is a
shift and an AND. The cost is that of the pattern's length times the letter's, for every text: nothing backtracks.

A pattern is written as elements with spaces between them: `word`, `word|other|stem*|<class>` (any of them), the same
with `?` at its end (may be missing), `~3` (up to three words, no negation and no end of a sentence among them),
`~~3` (likewise, negations allowed) and `^` or `$` (where a sentence begins or ends).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

MOST_GAP: Final = 12
_MOST_MATCHES: Final = 8


class PatternError(ValueError):
    """A pattern cannot be understood; the text says why."""


@dataclass(frozen=True, slots=True)
class Element:
    """One token of class `number`, or a gap of at most `gap` tokens."""

    number: int = -1
    optional: bool = False
    gap: int = 0
    over_negation: bool = False


@dataclass(frozen=True, slots=True)
class Places:
    """Where things stand in one letter, as bits: classes by number, words a gap may pass, the same with negations."""

    classes: Mapping[int, int]
    open: int
    open_negated: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """Elements in their order; the first is a token that must be there."""

    elements: tuple[Element, ...]
    text: str = ""
    """As written."""
    classes: frozenset[int] = frozenset()
    """Those that its elements name."""
    needed: int = 0
    """Those of them that must be there, as the bits of an integer."""

    def matches(self, places: Places) -> list[tuple[int, int]]:
        """First and last token of each match, at most eight, no match twice by its end."""
        stages: list[int] = []
        at = 0
        for element in self.elements:
            at = _advance(element, at, places) if stages else places.classes.get(element.number, 0)
            if not at:
                return []
            stages.append(at)
        found: list[tuple[int, int]] = []
        while at and len(found) < _MOST_MATCHES:
            last = (at & -at).bit_length() - 1
            at &= at - 1
            found.append((self._start(stages, last, places), last))
        return found

    def _start(self, stages: list[int], last: int, places: Places) -> int:
        place = last
        for index in range(len(self.elements) - 1, 0, -1):
            element, before = self.elements[index], stages[index - 1]
            if element.gap:
                while not before >> place & 1:
                    place -= 1
            elif places.classes.get(element.number, 0) >> place & 1 and place and before >> (place - 1) & 1:
                place -= 1
        return place


def _advance(element: Element, at: int, places: Places) -> int:
    if not element.gap:
        reached = (at << 1) & places.classes.get(element.number, 0)
        return reached | at if element.optional else reached
    passable = places.open_negated if element.over_negation else places.open
    reached = step = at
    for _ in range(element.gap):
        step = (step << 1) & passable
        if not step:
            break
        reached |= step
    return reached


def parse_pattern(text: str, number_of: Callable[[str], int]) -> Pattern:
    """The pattern written as `text`; `number_of` gives the class of an element. Raises PatternError."""
    elements = tuple(_elements(text, number_of))
    if not elements:
        raise PatternError("is empty")
    if elements[0].gap or elements[0].optional or elements[-1].gap:
        raise PatternError("must begin with something that has to be there, and not end with a gap")
    named = frozenset(one.number for one in elements if not one.gap)
    needed = {one.number for one in elements if not one.gap and not one.optional}
    return Pattern(elements, text, named, bits_of(needed))


def bits_of(numbers: Iterable[int]) -> int:
    """The integer that has these bits."""
    return sum(1 << number for number in set(numbers))


def _elements(text: str, number_of: Callable[[str], int]) -> Iterator[Element]:
    for word in text.split():
        if word.startswith("~"):
            size = word.lstrip("~")
            if not size.isdigit() or not 0 < int(size) <= MOST_GAP:
                raise PatternError(f"has the gap {word}; write ~1 to ~{MOST_GAP}")
            yield Element(gap=int(size), over_negation=word.startswith("~~"))
        else:
            optional = word.endswith("?") and len(word) > 1
            yield Element(number_of(word[:-1] if optional else word), optional)
