"""The words of letters, each with the numbers that it gives alone and with what it lends to those beside it.

Before `features`, which puts together what stands side by side. Whatever depends on a word alone is worked out once
for as long as it is remembered, since most words of a letter were in a hundred others.
"""

from __future__ import annotations

from array import array
from collections.abc import Set as AbstractSet
from enum import IntEnum, auto
from typing import Final, NamedTuple
from zlib import crc32

from web.moderation.concepts import SENTENCE_END, Concepts
from web.moderation.folding import BARRIER, Token

BITS: Final = 20
"""Of a number, as the weights have them."""
MASK: Final = (1 << BITS) - 1
SHIFT: Final = 13
"""Where these bits begin in a sum of facts."""
ABSENT: Final = 1 << 40
"""The fact that a word does not have: no sum of facts that are there reaches it."""
MOST_CONCEPTS: Final = 4
"""Concepts of one word that are read."""
_MOST_LETTERS: Final = 20
"""Letters of one word that are read as runs."""
_RUNS: Final = (3, 4)
"""Letters of a run."""
_MOST_KEPT: Final = 20_000
_KIND: Final = 0xC2B2AE3D27
_ONE: Final = 0x9E3779B185
_OTHER: Final = 0x85EBCA77C3
_SUM: Final = (1 << SHIFT + BITS) - 1


class Kind(IntEnum):
    """What a number tells: of one word, or of several in their order."""

    WORD = auto()
    PAIR = auto()
    QUOTED = auto()
    CONCEPT = auto()
    NEXT = auto()
    AFTER = auto()
    BEFORE = auto()
    FOLLOW = auto()
    HIT = auto()
    CLUE = auto()
    SKIP = auto()
    THREE = auto()
    RUN = auto()
    FAMILY = auto()
    FAMILIES = auto()
    INTO = auto()


class Fact(IntEnum):
    """What a word lends to sums, by its place in a row; `_AFTER` is for sums that begin with a word before it."""

    WORD = 0
    WORD_AFTER = 1
    OF_THREE = 2
    """For the sum of three words, of which it is the first."""
    REST_OF_THREE = 3
    """For that sum: of the two behind the first, which `features` puts together."""
    FAMILY = 4
    FAMILY_AFTER = 5
    KIN_AFTER = 6
    """The family, or the word where it has none."""
    WITHOUT_FAMILY = 7
    """The word, where it has no family."""
    END = 8
    """Nothing, but of the end of a sentence."""
    LEADING = 9
    """The first of its concepts, before another one."""
    FOLLOWING = LEADING + MOST_CONCEPTS
    """The first of its concepts, behind another one."""
    SPOKEN_AFTER = FOLLOWING + MOST_CONCEPTS
    """The first of its concepts, beside a word."""


FACTS: Final = Fact.SPOKEN_AFTER + MOST_CONCEPTS
"""How many a word has."""


class Word(NamedTuple):
    """What is known of a word."""

    own: bytes
    """The numbers that it gives alone, of four bytes each."""
    facts: bytes
    """Of eight bytes each."""
    concepts: tuple[int, ...]
    """What it speaks of."""


def sum_of(kind: int, one: int = 0, other: int = 0) -> int:
    """A sum as far as its number depends on it."""
    return kind * _KIND + one * _ONE + other * _OTHER & _SUM


def mix(kind: int, one: int, other: int = 0) -> int:
    """The number of something of this kind."""
    return sum_of(kind, one, other) >> SHIFT


def number_of(text: str) -> int:
    """What stands for a text in a sum."""
    return crc32(text.encode("utf-8", "surrogatepass"))


class Vocabulary:
    """What is known of words, by what they speak of; those in our lists are remembered, from any thread."""

    def __init__(self, concepts: Concepts) -> None:
        self.concepts = concepts
        self.listed: AbstractSet[str] = concepts.families.keys() | concepts.words.keys()
        """Words that are in a list of ours."""
        self._known: dict[tuple[str, bool], Word] = {}

    def of(self, token: Token) -> Word:
        """What is known of a word, and whether it is quoted."""
        key = token.word, token.quoted
        known = self._known.get(key)
        if known is None:
            known = self._look_at(*key)
            # Names, and whatever else is in no list, are a letter's own: nothing of them is kept in memory.
            if token.word in self.listed:
                if len(self._known) >= _MOST_KEPT:
                    self._known.clear()
                self._known[key] = known
        return known

    def _look_at(self, word: str, quoted: bool) -> Word:
        concepts = self.concepts.of(word)
        read = concepts[:MOST_CONCEPTS]
        number, family = number_of(word), self.concepts.families.get(word, 0)
        own = _runs(word)
        if word != BARRIER:
            own += [mix(Kind.QUOTED if quoted else Kind.WORD, number)]
        if family:
            own += [mix(Kind.FAMILY, family)]
        own += [mix(Kind.CONCEPT, concept) for concept in read if concept != SENTENCE_END]
        facts = [ABSENT] * FACTS
        facts[Fact.WORD], facts[Fact.WORD_AFTER] = sum_of(0, number), sum_of(0, 0, number)
        facts[Fact.OF_THREE] = sum_of(0, 31 * number)
        facts[Fact.KIN_AFTER] = sum_of(0, 0, family or number)
        if family:
            facts[Fact.FAMILY], facts[Fact.FAMILY_AFTER] = sum_of(0, family), sum_of(0, 0, family)
        else:
            facts[Fact.WITHOUT_FAMILY] = facts[Fact.WORD]
        if word != BARRIER:
            facts[Fact.END] = 0
        for at, concept in enumerate(read):
            facts[Fact.LEADING + at] = sum_of(0, concept)
            facts[Fact.FOLLOWING + at] = facts[Fact.SPOKEN_AFTER + at] = sum_of(0, 0, concept)
        return Word(array("i", own).tobytes(), array("q", facts).tobytes(), concepts)


def _runs(word: str) -> list[int]:
    """The numbers of the runs of letters inside `word`, its beginning and end marked."""
    marked = f"<{word[:_MOST_LETTERS]}>"
    runs = {marked[at : at + size] for size in _RUNS for at in range(len(marked) - size + 1)}
    begin = Kind.RUN * _KIND  # as `mix`, which is too slow for the ten runs of each word that is in no list
    return [(begin + crc32(run.encode("utf-8", "surrogatepass")) * _ONE & _SUM) >> SHIFT for run in runs]
