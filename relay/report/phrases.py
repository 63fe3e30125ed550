"""Thousands of phrases found in one text at the cost of reading it once.

Under the classifier and the readers of free text. Each phrase is filed under its rarest three letters; a text
looks only at those whose three letters occur in it. Linear in the text, whatever it holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

Phrase = tuple[str, ...]
"""Pieces that follow one another within `MAX_GAP` characters; mostly there is one piece."""

MAX_GAP: Final = 60
LEAST_PIECE: Final = 2
_GRAM: Final = 3


class PhraseIndex:
    """Which of the numbered groups of phrases stand in a text."""

    def __init__(self, groups: Sequence[Iterable[Phrase]]) -> None:
        filed = [
            (number, phrase, [gram for piece in phrase for gram in _grams(piece)])
            for number, phrases in enumerate(groups)
            for phrase in phrases
        ]
        counts = Counter(chain.from_iterable(grams for _, _, grams in filed))
        self._by_gram: dict[str, list[tuple[int, Phrase]]] = {}
        self._short: list[tuple[int, Phrase]] = []
        for number, phrase, grams in filed:
            if grams:
                self._by_gram.setdefault(min(grams, key=counts.__getitem__), []).append((number, phrase))
            else:
                self._short.append((number, phrase))

    def groups_in(self, text: str) -> set[int]:
        """The numbers of the groups with a phrase in `text`, which is folded like the phrases."""
        found: set[int] = set()
        index = self._by_gram
        for gram in _grams(text):
            for number, phrase in index.get(gram, ()):
                if number not in found and stands_in(phrase, text):
                    found.add(number)
        found.update(number for number, phrase in self._short if stands_in(phrase, text))
        return found


def _grams(text: str) -> set[str]:
    return {text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)}


def stands_in(phrase: Phrase, text: str) -> bool:
    """Whether the pieces of `phrase` follow one another in `text`."""
    first, *rest = phrase
    at = text.find(first)
    if not rest:
        return at >= 0
    while at >= 0:
        end = at + len(first)
        for piece in rest:
            found = text.find(piece, end, end + MAX_GAP + len(piece))
            if found < 0:
                break
            end = found + len(piece)
        else:
            return True
        at = text.find(first, at + 1)
    return False
