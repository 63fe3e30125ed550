"""Which word classes of the rule packs a word belongs to, whatever it was written as.

Second step of moderation. Reads digits and marks as letters, drawn-out letters, masked letters and one letter left
out or swapped; each try is a look-up, so that a word costs the same whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final

_MARKS: Final = "013457896@$!€|"
_LEET: Final = str.maketrans(_MARKS, "oieastbggasiel")
_LEET_L: Final = str.maketrans(_MARKS, "oleastbggasiel")
_LEET_MARKS: Final = frozenset(_MARKS)
_AMBIGUOUS: Final = "1"
"""Read as i, and as l."""
_RUN: Final = re.compile(r"(.)\1{2,}")
_LEAST_RUN: Final = 3
_DOUBLE: Final = re.compile(r"(.)\1+")
_LEAST_FOR_SLIPS: Final = 6
_LONGEST_WORD: Final = 24
_STEM_SIZES: Final = range(3, 13)
_MASKS: Final = re.compile("([*#]+)")
_MORE_BEHIND: Final = 4
"""Letters that may stand behind marks, more than there are marks."""
_NONE: Final[frozenset[int]] = frozenset()


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
    masked: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """By first and last letter, and by the first one alone with "", words that are recognised behind marks."""
    stem_sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    listed: AbstractSet[str] = frozenset()
    """Words that are in a list of ours."""
    known: dict[str, frozenset[int]] = field(default_factory=dict)

    def add(self, entry: str, number: int) -> None:
        """Put `entry`, a word or a stem with `*` at its end, into class `number`."""
        table, key = (self.stems, entry[:-1]) if entry.endswith("*") else (self.words, entry)
        table[key] = table.get(key, frozenset()) | {number}

    def seal(self, plain: Iterable[str], grave: frozenset[int]) -> None:
        """Derive what is looked up for misspelled and masked words. Call it once, when all words are there."""
        self.plain, self.grave = frozenset(plain), grave
        self.listed = self.plain | self.words.keys()
        self.stem_sizes = sizes_of(self.stems, _STEM_SIZES)
        for word, classes in self.words.items():
            if not classes & grave:
                continue
            for ends in (word[-1], ""):
                self.masked.setdefault((word[0], ends), []).append(word)
            if len(word) >= _LEAST_FOR_SLIPS:
                for slip in _slips(word):
                    if slip not in self.words and slip not in self.plain:
                        self.slips.setdefault(slip, word)

    def classes(self, word: str) -> frozenset[int]:
        """The classes of `word` as folded."""
        found = self.known.get(word)
        if found is None:
            found = self._look_up(word)
            # Names, and whatever else is in no list, are a letter's own: nothing of them is kept in memory.
            if word in self.listed:
                self.known[word] = found
        return found

    def _look_up(self, word: str) -> frozenset[int]:
        found = self._exact(word)
        if found or len(word) > 2 * _LONGEST_WORD or word in self.plain:
            return found
        if len(word) == 1 and word not in _LEET_MARKS:
            return found  # a letter or an emoji, disguised as nothing: of these a letter may have a thousand
        if "*" in word or "#" in word:
            return self._behind_mask(word)
        for form in forms(word):
            if form != word:
                if form in self.plain:
                    return _NONE
                if found := self._exact(form):
                    return found
            if form in self.slips:
                return self.words[self.slips[form]]
        return _NONE

    def _exact(self, word: str) -> frozenset[int]:
        found = self.words.get(word, _NONE)
        sizes = self.stem_sizes.get(word[: _STEM_SIZES.start])
        if sizes is None or word in self.plain:
            return found
        return found.union(*[self.stems.get(word[:size], _NONE) for size in sizes])

    def _behind_mask(self, word: str) -> frozenset[int]:
        parts = _MASKS.split(word[:_LONGEST_WORD])
        begins, ends = parts[0], parts[-1]
        likely = self.masked.get((word[0], ends[-1:]), ())
        likely = [one for one in likely if one.startswith(begins) and one.endswith(ends)]
        for middle in parts[2:-1:2]:
            likely = [one for one in likely if middle in one]
        fitting = (self.words[one] for one in likely if fits_mask(parts, one))
        return next(fitting, _NONE)

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


def fits_mask(parts: Sequence[str], candidate: str) -> bool:
    """Whether `candidate`, which begins like them, is what `parts` say: letters and marks in turn.

    Marks stand for one letter at least. Not by an expression: `re` would keep it, and with it the word of a letter.
    """
    reached = {len(parts[0])}
    for marks, letters in zip(parts[1::2], parts[2::2], strict=True):
        behind = {at + far for at in reached for far in range(1, len(marks) + _MORE_BEHIND + 1)}
        reached = {at + len(letters) for at in behind if candidate.startswith(letters, at)}
    return len(candidate) in reached


def sizes_of(stems: Iterable[str], sizes: range) -> dict[str, list[int]]:
    """By how they begin, the sizes that `stems` have: most words begin as none does, the others are cut to these."""
    found: dict[str, set[int]] = {}
    for stem in stems:
        if len(stem) in sizes:
            found.setdefault(stem[: sizes.start], set()).add(len(stem))
    return {begins: sorted(some) for begins, some in found.items()}


def forms(word: str) -> Iterable[str]:
    """What `word` may have been meant as, likeliest first."""
    if (word.isalpha() or _LEET_MARKS.isdisjoint(word)) and (len(word) < _LEAST_RUN or not _RUN.search(word)):
        return (word,)
    return _undisguised(word)


def _undisguised(word: str) -> Iterator[str]:
    readings = [word]
    if not word.isalpha() and not word.isdigit():
        readings = [word.translate(_LEET)]
        if _AMBIGUOUS in word:
            readings.append(word.translate(_LEET_L))
    for reading in readings:
        yield reading
        parts = _RUN.split(reading)
        if len(parts) > 1:
            once = "".join(parts)
            parts[1::2] = [letter * 2 for letter in parts[1::2]]
            yield "".join(parts)
            yield once
            yield "".join(_DOUBLE.split(reading))


def _slips(word: str) -> Iterator[str]:
    """`word` with one letter left out, doubled or changed places with the next; the first one stays."""
    for at in range(1, len(word)):
        yield word[:at] + word[at + 1 :]
        yield word[:at] + word[at] + word[at:]
        if at + 1 < len(word):
            yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]
