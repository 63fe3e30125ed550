"""Words that were written without the spaces between them: "youarealoser".

Beside the reading of a letter: no rule knows such a word, and the readings make nothing of it. It is taken apart where
that gives frequent words, and read by the rules with what stands around it. Linear in the length of a letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from web.moderation.folding import fold_word
from web.moderation.lexicon import sizes_of

_SIZES: Final = range(3, 17)
"""Letters of a word, but for the small ones."""
_SMALL_SIZES: Final = range(1, _SIZES.start)
_LEAST_WORDS: Final = 3
_LEAST_LENGTH: Final = 3
"""Of its words on the average."""
_SMALL: Final = (
    "a i u r ur is it in on of to my me we he so no go do be as at am an or if up us "
    "y je tu te se le la un de du en et ne il va es ce sa ta ma"
)
"""The only words of one or two letters: of syllables of as many any word is made."""
_READER: Final = "you u ur your youre tu ton ta tes vous votre vos"
_FIRST: Final = f"{_READER} i im ill je"
_WITHIN: Final = f"{_READER} te toi"
_LAST: Final = "you toi vous"
"""Who is spoken to, or of whom: stands somewhere in what is said to somebody, and hardly ever there in a rare word."""
_UNSCORED: Final = -12.0
"""How likely a word is, in natural logarithms, that is no piece."""
_BEGINS: Final = "\u2581"


@dataclass(frozen=True, slots=True)
class Splitter:
    """Frequent words of both languages, folded, with how likely each is."""

    likely: Mapping[str, float]
    sizes: Mapping[str, Sequence[int]] = field(init=False)
    """Of those that are not small, by how they begin."""

    def __post_init__(self) -> None:
        """Work out what follows from the words."""
        object.__setattr__(self, "sizes", sizes_of(self.likely, _SIZES))

    def split(self, word: str) -> list[str]:
        """The likeliest words that `word` is made of; none if it is not made of such words (Viterbi 1967)."""
        best: list[tuple[float, int] | None] = [(0.0, 0), *[None] * len(word)]
        for start in range(len(word)):
            before = best[start]
            if before is None:
                continue
            for size in (*_SMALL_SIZES, *self.sizes.get(word[start : start + _SIZES.start], ())):
                score = self.likely.get(word[start : start + size])
                if score is None or start + size > len(word):
                    continue
                so_far, found = before[0] + score, best[start + size]
                if found is None or so_far > found[0]:
                    best[start + size] = so_far, start
        cuts = [len(word)]
        while cuts[-1]:
            last = best[cuts[-1]]
            if last is None:
                return []
            cuts.append(last[1])
        return [word[start:end] for start, end in pairwise(reversed(cuts))]


def speaks_to_somebody(words: Sequence[str]) -> bool:
    """Whether it is a sentence, as far as its words tell, and none of the many words that syllables make by chance."""
    if len(words) < _LEAST_WORDS or sum(map(len, words)) < _LEAST_LENGTH * len(words):
        return False
    return words[0] in _FIRST.split() or words[-1] in _LAST.split() or not set(_WITHIN.split()).isdisjoint(words[1:-1])


def splitter(scores: Mapping[str, float], frequent: Iterable[str], named: Iterable[str]) -> Splitter:
    """Of `frequent` words and those `named` by the packs; those that are pieces are as likely as their `scores` say."""
    whole: dict[str, float] = {}
    for piece, score in scores.items():
        if piece.startswith(_BEGINS):
            word = fold_word(piece[1:])
            whole[word] = max(score, whole.get(word, score))
    small = set(_SMALL.split())
    likely = {word: whole.get(word, _UNSCORED) for word in (*frequent, *named) if word.isalpha()}
    return Splitter({word: score for word, score in likely.items() if len(word) > 2 or word in small})
