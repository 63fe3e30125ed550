"""A stretch of a letter as the numbers that the first reading has weights for.

Words, pairs and threes of words, runs of letters inside words, and the concepts and families of words in the order in
which they stand close to each other; each becomes a number below `SIZE`. The same letter gives the same numbers on
every machine. At most a fixed number of them a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise, product
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from web.moderation.folding import BARRIER, Token
from web.moderation.vocabulary import (
    ABSENT,
    BITS,
    FACTS,
    MASK,
    MOST_CONCEPTS,
    NUMBER_BYTES,
    SHIFT,
    Fact,
    Kind,
    Vocabulary,
    mix,
    number_of,
    sum_of,
)

Numbers = NDArray[np.int32]
Places = NDArray[np.intp]
Mixed = NDArray[np.int64]
"""Numbers before they are cut to their size."""

SIZE: Final = 1 << BITS
_NEAR: Final = 4
"""Words after a word with which its concepts are read."""
MOST_USUAL: Final = 80
"""Words up to which a letter is as most are; in a longer one a bad sentence can be hidden."""
_WINDOW: Final = 26
"""Words of a stretch that is judged at once; one bad sentence must not drown in a long letter."""
_SHORT: Final = 12
_OVERLAP: Final = 6
"""Words that two stretches of one long sentence share."""
_SENTENCE: Final = 3
"""Words of a sentence that says something alone."""
_CONCEPTS: Final = attrgetter("concepts")
_BEYOND: Final = np.full((_NEAR, FACTS), ABSENT).tobytes()
"""What stands after the last word."""


def words_in(tokens: Sequence[Token]) -> int:
    """The words of a letter as they were written, in which one token may have become several."""
    return len({token.start for token in tokens if token.word != BARRIER})


def stretches(tokens: Sequence[Token]) -> Iterator[range]:
    """The places of each sentence, and of runs of about 26 words together; what is longer is cut, overlapping.

    The first sentence of a run stands alone in long letters: there the others would drown it.
    """
    ends = [index for index, token in enumerate(tokens) if token.word == BARRIER]
    long = words_in(tokens) > MOST_USUAL
    start = 0
    for before, end in pairwise(ends):
        full = end - start > _WINDOW or end == ends[-1]
        if end - before > _SENTENCE and (before != start or (long and not full)):
            yield from _cut(before, end)
        if full:
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
    """Of words together, in the order of `first`."""
    first: Places
    """The first word that each is made of."""
    last: Places
    own: Numbers
    """Of each word alone, by word."""
    own_starts: Sequence[int]
    """Where those of each word begin; one more at the end."""

    def rows(self, parts: Sequence[Part]) -> list[Numbers]:
        """By part the numbers of what stands in it alone, and its own; each once, in their order."""
        if not parts:
            return []
        features, starts = self.joined(parts)
        return np.split(features, starts[1:])

    def joined(self, parts: Sequence[Part]) -> tuple[Numbers, Places]:
        """The rows of `parts`, of which there must be one, one behind the other, and where each begins."""
        edges = self.first.searchsorted([(places.start, places.stop) for places, _ in parts]).tolist()
        rows = [self._within(part, slice(*edge)) for part, edge in zip(parts, edges, strict=True)]
        bases = _BASES[: len(parts)]
        sizes = [sum(map(len, row)) for row in rows]
        keys = np.concatenate([piece for row in rows for piece in row])
        keys |= bases.repeat(sizes)
        keys = distinct(keys)  # once for all, since a long letter has fifty
        return keys & MASK, keys.searchsorted(bases)

    def _within(self, part: Part, begun: slice) -> tuple[Numbers, ...]:
        """The pieces of a row. `begun`: where the numbers are that begin in this part."""
        places, more = part
        inside = self.numbers[begun][self.last[begun] < places.stop]
        own = self.own[self.own_starts[places.start] : self.own_starts[places.stop]]
        return (inside, own, np.array([*more], np.int32)) if more else (inside, own)


_BASES: Final = np.arange(0, 1 << 31, SIZE, dtype=np.int32)
"""What stands above the bits of a number to tell the rows of a letter apart; no letter has so many stretches."""


def distinct(numbers: Numbers) -> Numbers:
    """Each number once, in their order; by sorting, which for thousands is several times faster than `np.unique`."""
    ordered = np.sort(numbers)
    new = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered.compress(new)


class _Columns(NamedTuple):
    """What is read of each word with those after it, in sums of two facts."""

    kinds: Mixed
    left: Places
    """Of the word: the place of a fact, counted from its first."""
    right: Places
    """Likewise of the same word or one after it."""
    far: Places
    """How far behind the word it still reads."""


@cache
def _columns(most: int) -> _Columns:
    """The columns of a letter whose words have `most` concepts or fewer."""
    table = list(_of_words())
    for one in range(most):
        table.append((Kind.AFTER, Fact.WORD, Fact.SPOKEN_AFTER + one, 1, 1))
        table.append((Kind.BEFORE, Fact.SPOKEN_AFTER + one, Fact.WORD, 1, 1))
    for one, other in product(range(most), repeat=2):
        pair = Fact.LEADING + one, Fact.FOLLOWING + other
        table.append((Kind.NEXT, *pair, 1, 1))
        table += [(Kind.FOLLOW, *pair, behind, behind) for behind in range(1, _NEAR + 1)]
    kinds, left, right, behind, far = (np.array(column) for column in zip(*table, strict=True))
    sums = np.array([sum_of(kind) for kind in kinds.tolist()])
    return _Columns(sums, left, behind * FACTS + right, far)


def _of_words() -> Iterator[tuple[int, int, int, int, int]]:
    """By column: its kind, the fact of the word, that of one behind it, how far that is, and how far it reads."""
    yield Kind.PAIR, Fact.WORD, Fact.WORD_AFTER, 1, 1
    yield Kind.SKIP, Fact.WORD, Fact.WORD_AFTER, 2, 2
    yield Kind.SKIP, Fact.WORD, Fact.WORD_AFTER, 3, 3
    yield Kind.THREE, Fact.OF_THREE, Fact.REST_OF_THREE, 1, 2
    for behind in 1, 2, 3:
        yield Kind.FAMILIES, Fact.FAMILY, Fact.KIN_AFTER, behind, behind
    yield Kind.INTO, Fact.WITHOUT_FAMILY, Fact.FAMILY_AFTER, 1, 1


def features_of(tokens: Sequence[Token], vocabulary: Vocabulary) -> Features:
    """The numbers of a letter."""
    words = vocabulary.of(tokens)
    facts = np.frombuffer(bytearray().join([*[one.facts for one in words], _BEYOND]), np.int64)
    _put_together(facts.reshape(-1, FACTS))
    columns = _columns(min(max(map(len, map(_CONCEPTS, words))), MOST_CONCEPTS))
    at = np.arange(0, len(tokens) * FACTS, FACTS)[:, None]
    mixed = facts.take(at + columns.left) + facts.take(at + columns.right) + columns.kinds
    there = mixed < ABSENT
    first, column = there.nonzero()
    return Features(
        (mixed[there] >> SHIFT & MASK).astype(np.int32),
        first,
        first + columns.far.take(column),
        np.frombuffer(b"".join([one.own for one in words]), np.int32),
        [0, *accumulate(len(one.own) // NUMBER_BYTES for one in words)],
    )


def _put_together(facts: Mixed) -> None:
    """Fill in what words have of those beside them."""
    facts[:-1, Fact.REST_OF_THREE] = facts[:-1, Fact.WORD] + facts[1:, Fact.WORD_AFTER]
    # From a concept to the next one no end of a sentence is passed: each on the way adds what no number reaches.
    ends = facts[:, Fact.END].cumsum()[:, None]
    facts[:, Fact.LEADING : Fact.LEADING + MOST_CONCEPTS] -= ends
    facts[1:, Fact.FOLLOWING : Fact.FOLLOWING + MOST_CONCEPTS] += ends[:-1]


@cache
def clue_feature(pattern: str) -> int:
    """The number of a pattern that matched, an allowance as well, so that each is believed as far as it was right."""
    return mix(Kind.CLUE, number_of(pattern))


@cache
def hit_feature(rule: str, step: str) -> int:
    """The number of a rule's finding, so that the first reading learns how far each rule can be believed."""
    return mix(Kind.HIT, number_of(rule), number_of(step))
