"""Is a letter in a language that nobody here reads? Told by words of other languages and by alphabets.

The words are data, `config/moderation/languages.toml`. Pure, in time linear in the length of a letter.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.data_files import data_file, read_data_file

_FILE: Final = "moderation/languages.toml"
_LEAST_FOREIGN: Final = 3
_LEAST_SHORT: Final = 2
_SHORT: Final = 8
"""Words up to which a letter is short, so that two words of another language are many."""
_FEW: Final = range(2, 4)
"""Words of a letter so short that one word is enough, if the other language has all of them."""
_NOT_LATIN: Final = re.compile("[^\u0000-\u024fﬀ-ﬆ]")
_FOREIGN_LETTERS: Final = re.compile(
    "[\u0102-\u0111\u0118-\u011b\u011f-\u012f\u0131-\u0137\u0139-\u0151\u0154-\u0177\u0179-\u017eäåðñòõöøýþßãìùơưạ-ỹ]"
)
"""Letters that no word of English has, and hardly one of French."""


@dataclass(frozen=True, slots=True)
class ForeignWords:
    """By language, the small words of it; and what insults or threatens in any of them."""

    small: Mapping[str, frozenset[str]]
    grave: frozenset[str]
    any_small: frozenset[str] = field(init=False)
    """The small words of all of them."""

    def __post_init__(self) -> None:
        """Work out what follows from the words."""
        object.__setattr__(self, "any_small", frozenset().union(*self.small.values()))

    def speak(self, text: str, words: Sequence[str], common: Collection[str]) -> bool:
        """Whether `text` with its folded `words` is neither English nor French: `common` has their small words."""
        ours = [word for word in words if word in common]
        if not text.isascii():
            other = sum(map(str.isalpha, _NOT_LATIN.findall(text)))
            if other and other * 2 > sum(map(str.isalpha, text)) > 3:
                return True
            small = text.lower()
            if _FOREIGN_LETTERS.search(small):
                marked = sum(_FOREIGN_LETTERS.search(word) is not None for word in small.split())
                if marked >= _LEAST_SHORT and marked > len(ours):
                    return True
        rare = [word for word in words if word in self.any_small and word not in common]
        return bool(rare) and any(_speaks(known, words, rare, ours) for known in self.small.values())


def _speaks(known: frozenset[str], words: Sequence[str], rare: Sequence[str], ours: Sequence[str]) -> bool:
    """Whether `words` are of the language that has `known`; a word that it shares with ours tells nothing."""
    theirs = sum(map(known.__contains__, rare))
    if not theirs:
        return False
    if len(words) in _FEW and known.issuperset(words):
        return True
    strange = len(ours) - sum(map(known.__contains__, ours))
    if theirs >= _LEAST_FOREIGN and theirs > 2 * strange:
        return True
    return len(words) <= _SHORT and theirs >= _LEAST_SHORT and theirs > strange


def load_foreign_words() -> ForeignWords:
    """The words that come along."""
    tables = tomllib.loads(read_data_file(data_file(_FILE)))
    small = {language: frozenset(words.split()) for language, words in tables["small"].items()}
    return ForeignWords(small, frozenset(" ".join(tables["grave"].values()).split()))
