"""A stretch of a letter as the numbers that the trained layer has weights for.

Words, pairs of words, and concepts in the order in which they stand close to each other; each becomes a number below
`SIZE`. The same letter gives the same numbers on every machine. At most a fixed number of them a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zlib import crc32

from web.moderation.concepts import SENTENCE_END, Concepts
from web.moderation.folding import BARRIER, Token

BITS: Final = 18
SIZE: Final = 1 << BITS
_NEAR: Final = 4
_MOST_CONCEPTS: Final = 4
"""Concepts of one word that are read."""
_WINDOW: Final = 26
"""Words of a stretch that is judged at once; one bad sentence must not drown in a long letter."""
_SHORT: Final = 12
_OVERLAP: Final = 6
"""Words that two stretches of one long sentence share."""
_SENTENCE: Final = 3
"""Words of a sentence that says something alone."""

_WORD, _PAIR, _QUOTED, _CONCEPT, _NEXT, _AFTER, _BEFORE, _FOLLOW, _HIT, _CLUE = range(1, 11)


@lru_cache(maxsize=20_000)
def _number(word: str) -> int:
    return crc32(word.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=1 << 15)
def _mix(kind: int, one: int, other: int = 0) -> int:
    mixed = (one * 0x9E3779B1 + other * 0x85EBCA77 + kind * 0xC2B2AE3D) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF) >> (32 - BITS)


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
    found: set[int] = set()
    words = [_number(token.word) for token in tokens]
    spoken = [concepts.of(token.word)[:_MOST_CONCEPTS] for token in tokens]
    for at, token in enumerate(tokens):
        if token.word != BARRIER:
            found.add(_mix(_QUOTED if token.quoted else _WORD, words[at]))
    for one, other in pairwise(words):
        found.add(_mix(_PAIR, one, other))
    for at, here in enumerate(spoken):
        for concept in here:
            if concept != SENTENCE_END:
                found.add(_mix(_CONCEPT, concept))
            if at:
                found.add(_mix(_AFTER, words[at - 1], concept))
            if at + 1 < len(words):
                found.add(_mix(_BEFORE, words[at + 1], concept))
            found.update(_followers(spoken, at, concept))
    return found


def _followers(spoken: Sequence[tuple[int, ...]], at: int, concept: int) -> Iterator[int]:
    """The concepts that stand up to four words after place `at`, within the sentence."""
    for distance in range(1, _NEAR + 1):
        there = spoken[at + distance] if at + distance < len(spoken) else ()
        for other in there:
            yield _mix(_FOLLOW, concept, other)
            if distance == 1:
                yield _mix(_NEXT, concept, other)
        if there == (SENTENCE_END,):
            break


def clue_feature(pattern: str) -> int:
    """The number of a pattern that matched, an allowance as well, so that each is believed as far as it was right."""
    return _mix(_CLUE, _number(pattern))


def hit_feature(rule: str, step: str) -> int:
    """The number of a rule's finding, so that the trained layer learns how far each rule can be believed."""
    return _mix(_HIT, _number(rule), _number(step))
