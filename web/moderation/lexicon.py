"""Which word classes of the rule packs a word belongs to, whatever it was written as.

Second step of moderation. Reads digits and marks as letters, drawn-out letters, masked letters and one letter left
out or swapped; each try is a look-up, so that a word costs the same whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

_LEET: Final = str.maketrans("013457896@$!€|", "oieastbggasiel")
_LEET_L: Final = str.maketrans("013457896@$!€|", "oleastbggasiel")
_RUN: Final = re.compile(r"(.)\1{2,}")
_DOUBLE: Final = re.compile(r"(.)\1+")
_LEAST_FOR_SLIPS: Final = 6
_LONGEST_WORD: Final = 24
_STEM_SIZES: Final = range(3, 13)


@dataclass(slots=True)
class Lexicon:
    """Words and stems with the numbers of their classes; filled once, then only read."""

    words: dict[str, frozenset[int]] = field(default_factory=dict)
    stems: dict[str, frozenset[int]] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()
    """Words that are never taken for another one."""
    grave: frozenset[int] = frozenset()
    """Classes whose words are recognised when misspelled or masked."""
    slips: dict[str, str] = field(default_factory=dict)
    masked: dict[str, tuple[str, ...]] = field(default_factory=dict)
    listed: AbstractSet[str] = frozenset()
    """Words of other lists of ours."""
    known: dict[str, frozenset[int]] = field(default_factory=dict)

    def add(self, entry: str, number: int) -> None:
        """Put `entry`, a word or a stem with `*` at its end, into class `number`."""
        table, key = (self.stems, entry[:-1]) if entry.endswith("*") else (self.words, entry)
        table[key] = table.get(key, frozenset()) | {number}

    def seal(self, plain: Iterable[str], grave: frozenset[int]) -> None:
        """Derive what is looked up for misspelled and masked words. Call it once, when all words are there."""
        self.plain, self.grave = frozenset(plain), grave
        masked: dict[str, list[str]] = {}
        for word, classes in self.words.items():
            if not classes & grave:
                continue
            masked.setdefault(word[0], []).append(word)
            if len(word) >= _LEAST_FOR_SLIPS:
                for slip in _slips(word):
                    if slip not in self.words and slip not in self.plain:
                        self.slips.setdefault(slip, word)
        self.masked = {first: tuple(words) for first, words in masked.items()}

    def classes(self, word: str) -> frozenset[int]:
        """The classes of `word` as folded."""
        found = self.known.get(word)
        if found is None:
            found = self._look_up(word)
            # Names, and whatever else is in no list, are a letter's own: nothing of them is kept in memory.
            if word in self.listed or word in self.plain or word in self.words:
                self.known[word] = found
        return found

    def _look_up(self, word: str) -> frozenset[int]:
        if found := self._exact(word):
            return found
        if len(word) > 2 * _LONGEST_WORD or word in self.plain:
            return frozenset()
        if "*" in word or "#" in word:
            return self._behind_mask(word)
        for form in forms(word):
            if form in self.plain:
                return frozenset()
            if found := self._exact(form):
                return found
            if form in self.slips:
                return self.words[self.slips[form]]
        return frozenset()

    def _exact(self, word: str) -> frozenset[int]:
        found = self.words.get(word, frozenset())
        if word in self.plain:
            return found
        for size in _STEM_SIZES:
            if size > len(word):
                break
            if more := self.stems.get(word[:size]):
                found |= more
        return found

    def _behind_mask(self, word: str) -> frozenset[int]:
        word = word[:_LONGEST_WORD]
        plain = word.replace("#", "*")
        begins, ends = plain.partition("*")[0], plain.rpartition("*")[2]
        for candidate in self.masked.get(word[0], ()):
            if candidate.startswith(begins) and candidate.endswith(ends) and _mask(word).fullmatch(candidate):
                return self.words[candidate]
        return frozenset()

    def split(self, letters: str) -> list[str]:
        """`letters` run together as known words, longest first; empty if they are not made of such words."""
        words: list[str] = []
        at = 0
        letters = letters[: 4 * _LONGEST_WORD].translate(_LEET)
        while at < len(letters):
            for size in range(min(_LONGEST_WORD, len(letters) - at), 0, -1):
                if letters[at : at + size] in self.words:
                    break
            else:
                return []
            words.append(letters[at : at + size])
            at += size
        return words if any(len(word) > 1 for word in words) else []


@lru_cache(maxsize=256)
def _mask(word: str) -> re.Pattern[str]:
    parts = re.split(r"([*#]+)", word)
    return re.compile("".join(f".{{1,{len(p) + 4}}}" if p[:1] in {"*", "#"} else re.escape(p) for p in parts if p))


def forms(word: str) -> Iterator[str]:
    """What `word` may have been meant as, likeliest first."""
    readings = [word]
    if not word.isalpha() and not word.isdigit():
        readings = [word.translate(_LEET), word.translate(_LEET_L)]
    for reading in readings:
        yield reading
        if _RUN.search(reading):
            yield _RUN.sub(r"\1\1", reading)
            yield _RUN.sub(r"\1", reading)
            yield _DOUBLE.sub(r"\1", reading)


def _slips(word: str) -> Iterator[str]:
    """`word` with one letter left out, doubled or changed places with the next; the first one stays."""
    for at in range(1, len(word)):
        yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at] + word[at:]
        if at + 1 < len(word):
            yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]
