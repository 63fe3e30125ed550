"""The words of letters, each with the numbers that it gives alone and with what it lends to those beside it.

Before `features`, which puts together what stands side by side. Whatever depends on a word alone is worked out once
for as long as it is remembered, since most words of a letter were in a hundred others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import IntEnum, auto
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from web.moderation.concepts import SENTENCE_END, Concepts
from web.moderation.folding import BARRIER, Token
from web.moderation.runs import runs_of
from web.moderation.words import load_words

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
_Key = tuple[str, bool]
"""A word, and whether it is quoted."""
_KEY: Final = attrgetter("word", "quoted")

BITS: Final = 20
"""Of a number, as the weights have them."""
MASK: Final = (1 << BITS) - 1
SHIFT: Final = 13
"""Where these bits begin in a sum of facts."""
ABSENT: Final = 1 << 40
"""The fact that a word does not have: no sum of facts that are there reaches it."""
NUMBER_BYTES: Final = np.dtype(np.int32).itemsize
"""Of a number, as words have those that they give alone."""
MOST_CONCEPTS: Final = 4
"""Concepts of one word that are read."""
_NO_CONCEPTS: Final = (-1,) * MOST_CONCEPTS
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
        self.listed: AbstractSet[str] = concepts.families.keys() | concepts.words.keys() | load_words()
        """Words that are in a list of ours."""
        self._known: dict[_Key, Word] = {}

    def of(self, tokens: Sequence[Token]) -> list[Word]:
        """What is known of each word, and whether it is quoted."""
        keys: list[_Key] = [*map(_KEY, tokens)]
        known = self._known
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if not new:
            return [known[key] for key in keys]
        found = dict(zip(new, self._look_at(new), strict=True))
        self._remember(found)
        return [found.get(key) or known[key] for key in keys]

    def spoken_of(self, token: Token) -> Sequence[int]:
        """The concepts of a word; nothing else is worked out of it."""
        known = self._known.get((token.word, token.quoted))
        return self.concepts.of(token.word) if known is None else known.concepts

    def _remember(self, found: Mapping[_Key, Word]) -> None:
        # Names, and whatever else is in no list, are a letter's own: nothing of them is kept in memory.
        listed = {key: word for key, word in found.items() if key[0] in self.listed}
        if len(self._known) + len(listed) > _MOST_KEPT:
            self._known = {}  # a new one: another thread may be reading
        self._known.update(listed)

    def _look_at(self, keys: Sequence[_Key]) -> Iterator[Word]:
        """What is worked out of words; of all at once, since a letter may have hundreds that are in no list."""
        words = [word for word, _ in keys]
        concepts = [self.concepts.of(word) for word in words]
        look = _Look(
            numbers=np.array([number_of(word) for word in words]),
            families=np.array([self.concepts.families.get(word, 0) for word in words]),
            concepts=np.array([(*some, *_NO_CONCEPTS)[:MOST_CONCEPTS] for some in concepts]),
            ends=np.array([word == BARRIER for word in words]),
            quoted=np.array([quoted for _, quoted in keys]),
        )
        checksums, sizes = runs_of(words)
        runs = _by_word(_mixed(Kind.RUN, checksums), sizes)
        alone, there = look.alone()
        others = _by_word(alone[there], there.sum(1))
        facts = look.facts().tobytes()
        size = len(facts) // len(words)
        for at, (run, other, some) in enumerate(zip(runs, others, concepts, strict=True)):
            yield Word(run + other, facts[at * size : (at + 1) * size], some)


@dataclass(frozen=True, slots=True)
class _Look:
    """What is looked up of words, of each in its row."""

    numbers: Numbers
    families: Numbers
    """0 where a word has none."""
    concepts: Numbers
    """`MOST_CONCEPTS` a row, -1 where a word has fewer."""
    ends: Mask
    """Whether it is the end of a sentence."""
    quoted: Mask

    def alone(self) -> tuple[Numbers, Mask]:
        """The numbers that words give alone, but for their runs, and which of them are there."""
        kinds = np.where(self.quoted, int(Kind.QUOTED), int(Kind.WORD))
        columns = [_mixed(kinds, self.numbers), _mixed(Kind.FAMILY, self.families)]
        there = [~self.ends, self.families > 0]
        return (
            np.column_stack([*columns, _mixed(Kind.CONCEPT, self.concepts)]),
            np.column_stack([*there, self.concepts > SENTENCE_END]),
        )

    def facts(self) -> Numbers:
        """The facts of words, by `Fact`."""
        numbers, families, some = self.numbers, self.families, self.families > 0
        facts = np.full((len(numbers), FACTS), ABSENT)
        facts[:, Fact.WORD] = numbers * _ONE & _SUM
        facts[:, Fact.WORD_AFTER] = numbers * _OTHER & _SUM
        facts[:, Fact.OF_THREE] = 31 * numbers * _ONE & _SUM
        facts[:, Fact.KIN_AFTER] = np.where(some, families, numbers) * _OTHER & _SUM
        facts[some, Fact.FAMILY] = families[some] * _ONE & _SUM
        facts[some, Fact.FAMILY_AFTER] = families[some] * _OTHER & _SUM
        facts[~some, Fact.WITHOUT_FAMILY] = facts[~some, Fact.WORD]
        facts[~self.ends, Fact.END] = 0
        there = self.concepts >= 0
        after = np.where(there, self.concepts * _OTHER & _SUM, ABSENT)
        facts[:, Fact.LEADING : Fact.FOLLOWING] = np.where(there, self.concepts * _ONE & _SUM, ABSENT)
        facts[:, Fact.FOLLOWING : Fact.SPOKEN_AFTER] = facts[:, Fact.SPOKEN_AFTER :] = after
        return facts


def _mixed(kind: int | Numbers, one: Numbers) -> Numbers:
    """As `mix`, of many at once; what is lost above sixty-four bits no number has."""
    return (kind * _KIND + one * _ONE & _SUM) >> SHIFT


def _by_word(numbers: Numbers, sizes: Numbers) -> list[bytes]:
    """By word its `numbers`, of four bytes each; `sizes` tells how many."""
    data = numbers.astype(np.int32).tobytes()
    ends = [0, *(sizes.cumsum() * NUMBER_BYTES).tolist()]
    return [data[start:end] for start, end in pairwise(ends)]
