"""A stretch of a letter as the numbers that the first reading has weights for.

Words, pairs and threes of words, runs of letters inside words, and the concepts and families of words in the order in
which they stand close to each other; each becomes a number below `SIZE`. The same letter gives the same numbers on
every machine. At most a fixed number of them a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

from web.moderation.concepts import SENTENCE_END, Concepts
from web.moderation.folding import BARRIER, Token

BITS: Final = 20
SIZE: Final = 1 << BITS
_NEAR: Final = 4
_MOST_CONCEPTS: Final = 4
"""Concepts of one word that are read."""
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

_KINDS: Final = 20
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


def stretches(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """Each sentence of `tokens`, and runs of them of about 26 words together; what is longer is cut, overlapping."""
    ends = [index for index, token in enumerate(tokens) if token.word == BARRIER]
    start = 0
    for before, end in pairwise(ends):
        if end - before > _SENTENCE and (before, end) != (start, end):
            yield from _cut(tokens, before, end)
        if end - start > _WINDOW or end == ends[-1]:
            yield from _cut(tokens, start, end)
            start = before if end - before < _SHORT and before > start else end


def _cut(tokens: Sequence[Token], start: int, end: int) -> Iterator[Sequence[Token]]:
    while end - start > 2 * _WINDOW:
        yield tokens[start : start + _WINDOW]
        start += _WINDOW - _OVERLAP
    yield tokens[start : end + 1]


def features_of(tokens: Sequence[Token], concepts: Concepts) -> set[int]:
    """The numbers of a stretch."""
    words = [_number(token.word) for token in tokens]
    found = {
        _mix(_QUOTED if token.quoted else _WORD, word)
        for word, token in zip(words, tokens, strict=True)
        if token.word != BARRIER
    }
    found.update([(_PAIR + a * _ONE + b * _OTHER) >> _SHIFT & _MASK for a, b in pairwise(words)])
    for far in (2, 3):
        apart = zip(words, words[far:], strict=False)
        found.update([(_SKIP + a * _ONE + b * _OTHER) >> _SHIFT & _MASK for a, b in apart])
    threes = zip(words, words[1:], words[2:], strict=False)
    found.update([(_THREE + (a * 31 + b) * _ONE + c * _OTHER) >> _SHIFT & _MASK for a, b, c in threes])
    for token in tokens:
        found.update(_runs(token.word))
    found.update(_of_concepts(words, [concepts.of(token.word)[:_MOST_CONCEPTS] for token in tokens]))
    found.update(_of_families(words, [concepts.families.get(token.word) for token in tokens]))
    return found


def _of_families(words: Sequence[int], families: Sequence[int | None]) -> list[int]:
    """The family of each word, and with it the family, or the word, of those up to three words after it."""
    kin = [word if family is None else family for word, family in zip(words, families, strict=True)]
    found: list[int] = []
    for at, family in enumerate(families):
        if family is not None:
            found.append(_mix(_FAMILY, family))
            first = _FAMILIES + family * _ONE
            found += [(first + other * _OTHER) >> _SHIFT & _MASK for other in kin[at + 1 : at + 4]]
            if at and families[at - 1] is None:
                found.append(_mix(_INTO, words[at - 1], family))
    return found


def _of_concepts(words: Sequence[int], spoken: Sequence[tuple[int, ...]]) -> list[int]:
    """The concepts of each word, with the words beside it, and those that stand up to four words after it."""
    found: list[int] = []
    for at, here in enumerate(spoken):
        if not here:
            continue
        after = spoken[at + 1 : at + 1 + _NEAR]
        if (SENTENCE_END,) in after:
            after = after[: after.index((SENTENCE_END,)) + 1]
        near = [other * _OTHER for there in after for other in there]
        next_to = [other * _OTHER for other in after[0]] if after else []
        for concept in here:
            if concept != SENTENCE_END:
                found.append(_mix(_CONCEPT, concept))
            if at:
                found.append(_mix(_AFTER, words[at - 1], concept))
            if at + 1 < len(words):
                found.append(_mix(_BEFORE, words[at + 1], concept))
            follow, follows = _FOLLOW + concept * _ONE, _NEXT + concept * _ONE
            found += [(follow + other) >> _SHIFT & _MASK for other in near]
            found += [(follows + other) >> _SHIFT & _MASK for other in next_to]
    return found


def clue_feature(pattern: str) -> int:
    """The number of a pattern that matched, an allowance as well, so that each is believed as far as it was right."""
    return _mix(_CLUE, _number(pattern))


def hit_feature(rule: str, step: str) -> int:
    """The number of a rule's finding, so that the first reading learns how far each rule can be believed."""
    return _mix(_HIT, _number(rule), _number(step))
