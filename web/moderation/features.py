"""A stretch of a letter as the numbers that the first reading has weights for.

Words, pairs and threes of words, runs of letters inside words, and the concepts and families of words in the order in
which they stand close to each other; each becomes a number below `SIZE`. The same letter gives the same numbers on
every machine. At most a fixed number of them a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from typing import Final, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from web.moderation.concepts import SENTENCE_END, Concepts
from web.moderation.folding import BARRIER, Token

Numbers = NDArray[np.int32]
Places = NDArray[np.intp]
Mask = NDArray[np.bool_]
_Whole = TypeVar("_Whole", np.int32, np.int64)
Mixed = NDArray[np.uint64]
"""Numbers before they are cut to their size; what overflows is lost above the bits that count."""

BITS: Final = 20
SIZE: Final = 1 << BITS
_NEAR: Final = 4
_MOST_CONCEPTS: Final = 4
"""Concepts of one word that are read."""
_NONE: Final = 0xFFFF
"""Where a word has fewer."""
_MOST_LETTERS: Final = 20
"""Letters of one word that are read as runs."""
_RUNS: Final = (3, 4)
"""Letters of a run."""
_WINDOW: Final = 26
"""Words of a stretch that is judged at once; one bad sentence must not drown in a long letter."""
_SHORT: Final = 12
_OVERLAP: Final = 6
"""Words that two stretches of one long sentence share."""
_SENTENCE: Final = 3
"""Words of a sentence that says something alone."""

(
    _WORD,
    _PAIR,
    _QUOTED,
    _CONCEPT,
    _NEXT,
    _AFTER,
    _BEFORE,
    _FOLLOW,
    _HIT,
    _CLUE,
    _SKIP,
    _THREE,
    _RUN,
    _FAMILY,
    _FAMILIES,
    _INTO,
) = (kind * 0xC2B2AE3D27 for kind in range(1, 17))
_ONE: Final = 0x9E3779B185
_OTHER: Final = 0x85EBCA77C3
_PAIRS: Final = np.array([_PAIR, _SKIP, _SKIP], np.uint64)
_FARS: Final = range(1, _NEAR + 1)
_SHIFT: Final = 13
_MASK: Final = SIZE - 1


@lru_cache(maxsize=20_000)
def _number(word: str) -> int:
    return crc32(word.encode("utf-8", "surrogatepass"))


def _mix(kind: int, one: int, other: int = 0) -> int:
    return (kind + one * _ONE + other * _OTHER) >> _SHIFT & _MASK


@lru_cache(maxsize=20_000)
def _runs(word: str) -> tuple[int, ...]:
    """The numbers of the runs of letters inside `word`, its beginning and end marked."""
    marked = f"<{word[:_MOST_LETTERS]}>"
    return tuple(
        {_mix(_RUN, _number(marked[at : at + size])) for size in _RUNS for at in range(len(marked) - size + 1)}
    )


def stretches(tokens: Sequence[Token]) -> Iterator[range]:
    """The places of each sentence, and of runs of about 26 words together; what is longer is cut, overlapping."""
    ends = [index for index, token in enumerate(tokens) if token.word == BARRIER]
    start = 0
    for before, end in pairwise(ends):
        if end - before > _SENTENCE and (before, end) != (start, end):
            yield from _cut(before, end)
        if end - start > _WINDOW or end == ends[-1]:
            yield from _cut(start, end)
            start = before if end - before < _SHORT and before > start else end


def _cut(start: int, end: int) -> Iterator[range]:
    while end - start > 2 * _WINDOW:
        yield range(start, start + _WINDOW)
        start += _WINDOW - _OVERLAP
    yield range(start, end + 1)


Part = tuple[range, Collection[int]]
"""The places of a stretch's tokens, and the numbers of what the rules found in it."""


@dataclass(frozen=True, slots=True)
class Features:
    """The numbers of a letter, made once: the stretches of a long one have each word two or three times."""

    numbers: Numbers
    """In the order of `first`."""
    first: Places
    """The first word that each is made of."""
    last: Places
    runs: Numbers
    """The runs of letters inside words, by word."""
    run_starts: Places
    """Where those of each word begin; one more at the end."""

    def rows(self, parts: Sequence[Part]) -> list[Numbers]:
        """By part the numbers of what stands in it alone, and its own; each once, in their order."""
        if not parts:
            return []
        rows = [self._within(places, more) for places, more in parts]
        sizes = [len(row) for row in rows]
        keys = np.repeat(np.arange(len(rows), dtype=np.int64) << BITS, sizes) + np.concatenate(rows)
        keys = distinct(keys)  # once for all, since a long letter has fifty
        return np.split(keys.astype(np.int32) & _MASK, np.searchsorted(keys, np.arange(1, len(rows)) << BITS))

    def _within(self, part: range, more: Collection[int]) -> Numbers:
        begin, end = self.first.searchsorted((part.start, part.stop))
        inside = self.numbers[begin:end][self.last[begin:end] < part.stop]
        runs = self.runs[self.run_starts[part.start] : self.run_starts[part.stop]]
        return np.concatenate((inside, runs, np.fromiter(more, np.int32, len(more))))


def distinct(numbers: NDArray[_Whole]) -> NDArray[_Whole]:
    """Each number once, in their order; by sorting, which for thousands is several times faster than `np.unique`."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate(((True,), ordered[1:] != ordered[:-1]))]


def features_of(tokens: Sequence[Token], concepts: Concepts) -> Features:
    """The numbers of a letter."""
    near = _Near(tokens)
    columns = [
        *near.of_words(),
        *near.of_families([concepts.families.get(token.word, 0) for token in tokens]),
        *near.of_concepts([concepts.of(token.word)[:_MOST_CONCEPTS] for token in tokens]),
    ]
    mixed, there = (np.concatenate(parts, 1) for parts in zip(*[column[:2] for column in columns], strict=True))
    far = np.array([far for *_, many in columns for far in many])
    first, column = there.nonzero()
    runs = [_runs(token.word) for token in tokens]
    return Features(
        (mixed[there] >> _SHIFT & _MASK).astype(np.int32),
        first,
        first + far[column],
        np.fromiter(chain.from_iterable(runs), np.int32),
        np.array([0, *accumulate(map(len, runs))]),
    )


Column = tuple[Mixed, Mask, Sequence[int]]
"""By word (first axis) numbers, which of them there are, and how far behind the word they still read."""


class _Near:
    """Each word of a letter with the four after it, as rows of tables; what is beyond the end is not `there`."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._at = np.arange(len(tokens))[:, None] + np.arange(_NEAR + 1)
        self._words = self._rows([_number(token.word) for token in tokens], 0)
        self._ends = self._rows([token.word == BARRIER for token in tokens], 1) > 0
        self._there = self._at < len(tokens)
        self._kind = np.array([[_QUOTED if token.quoted else _WORD] for token in tokens], np.uint64)

    def _rows(self, values: Sequence[int] | Sequence[Sequence[int]], beyond: int | Sequence[int]) -> Mixed:
        rows = np.array([*values, *[beyond] * _NEAR], np.uint64)
        windows: Mixed = rows[self._at]
        return windows

    def of_words(self) -> Iterator[Column]:
        """Each word alone, and with one or two of those after it."""
        one = self._words[:, :1] * _ONE
        yield self._kind + one, ~self._ends[:, :1], (0,)
        yield _PAIRS + one + self._words[:, 1:4] * _OTHER, self._there[:, 1:4], (1, 2, 3)
        three = (self._words[:, :1] * 31 + self._words[:, 1:2]) * _ONE + self._words[:, 2:3] * _OTHER
        yield _THREE + three, self._there[:, 2:3], (2,)

    def of_families(self, of: Sequence[int]) -> Iterator[Column]:
        """The family of each word, and with it the family, or the word, of those up to three words after it."""
        family = self._rows(of, 0)
        has = family > 0
        kin = np.where(has, family, self._words)
        one = family[:, :1] * _ONE
        yield _FAMILY + one, has[:, :1], (0,)
        yield _FAMILIES + one + kin[:, 1:4] * _OTHER, has[:, :1] & self._there[:, 1:4], (1, 2, 3)
        yield _INTO + self._words[:, :1] * _ONE + family[:, 1:2] * _OTHER, ~has[:, :1] & has[:, 1:2], (1,)

    def of_concepts(self, of: Sequence[tuple[int, ...]]) -> Iterator[Column]:
        """The concepts of each word, with the words beside it, and those up to four words after it in its sentence."""
        most = max(map(len, of))
        spoken = self._rows([(*one, *[_NONE] * (most - len(one))) for one in of], [_NONE] * most)
        has = spoken != _NONE
        yield _CONCEPT + spoken[:, 0] * _ONE, has[:, 0] & (spoken[:, 0] != SENTENCE_END), [0] * most
        yield _AFTER + self._words[:, :1] * _ONE + spoken[:, 1] * _OTHER, has[:, 1], [1] * most
        yield _BEFORE + self._words[:, 1:2] * _ONE + spoken[:, 0] * _OTHER, has[:, 0] & self._there[:, 1:2], [1] * most
        pairs = spoken[:, 0, None, :, None] * _ONE + spoken[:, 1:, None, :] * _OTHER
        both = has[:, 0, None, :, None] & has[:, 1:, None, :]
        both[:, 1:] &= ~np.logical_or.accumulate(self._ends[:, 1:-1], 1)[:, :, None, None]
        flat = len(of), _NEAR * most * most
        yield (_FOLLOW + pairs).reshape(flat), both.reshape(flat), [far for far in _FARS for _ in range(most * most)]
        flat = len(of), most * most
        yield (_NEXT + pairs[:, 0]).reshape(flat), both[:, 0].reshape(flat), [1] * (most * most)


def clue_feature(pattern: str) -> int:
    """The number of a pattern that matched, an allowance as well, so that each is believed as far as it was right."""
    return _mix(_CLUE, _number(pattern))


def hit_feature(rule: str, step: str) -> int:
    """The number of a rule's finding, so that the first reading learns how far each rule can be believed."""
    return _mix(_HIT, _number(rule), _number(step))
