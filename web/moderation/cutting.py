"""A letter cut into its words: letters that stand apart are one, and signs are part of a word or part two.

Below `disguise`. Where a word and its signs give one that is surely meant, it is put at once. Linear in
the length of a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from web.moderation.folding import PICTURES
from web.moderation.guesses import NUMBERED, Guesser
from web.moderation.meant import CHUNK, Item
from web.moderation.run_together import Splitter
from web.moderation.spellings import Spellings

APART: Final = re.compile(r"(?<![^\W_])(?:[^\W_](?:(?:[^\w\n]|_){1,3}|\n)){3,}[^\W_](?![^\W_])")
"""Letters that stand one by one, with the same between them."""
FEWEST_APART: Final = 4
"""How many letters these are at least."""
_WORD: Final = re.compile(r"[^\W_]+|[^\w\s]")
_EDGES: Final = re.compile(r"^[\"“”„«»'‘’.,;:?\[{<>…\-–—~_)#]+|[\"“”„«»'‘’.,;:?!\]})>…\-–—~_]+$")
_SOFT_EDGES: Final = re.compile(r"^[\"“”„«»'‘’\[{<]+|[\"“”„«»'‘’,;:?!\]}>]+$")
_LINK: Final = re.compile(r"https?:|www\.|\w@\w+\.\w|\w\.(?:com|org|net|fr|io)\b")
_DIGITS_INSIDE: Final = re.compile(r"[^\W\d_]\d[^\W\d_]")
INITIAL: Final = re.compile(r"([a-z])([*.#_-])\2{1,}\*?$")
_MASKS: Final = frozenset("*#")
_CONTRACTED: Final = re.compile("[^\\W_]+['’](?:ll|re|ve|s|t|d|m)|(?:[cdjlmnst]|qu|jusqu|lorsqu)['’][^\\W_]+")
_STOPS: Final = frozenset(",.!?;")
_OF_WORDS: Final = frozenset("'’-")
"""Marks that stand inside of words."""


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts texts into words."""

    guesser: Guesser
    spellings: Spellings
    spaces: Splitter

    def items(self, folded: str) -> list[Item]:
        """The words of a folded text, some with what is put for them already; places are of the folded text."""
        found: list[Item] = []
        at = 0
        leet = _DIGITS_INSIDE.search(folded) is not None
        for run in APART.finditer(folded):
            found += self._plain(folded, range(at, run.start()), leet=leet)
            found += self._together(folded, run.start(), run.end())
            at = run.end()
        return [*found, *self._plain(folded, range(at, len(folded)), leet=leet)]

    def _together(self, folded: str, start: int, stop: int) -> Iterator[Item]:
        """The words of letters that stand one by one; where they stand farther apart a word ends."""
        text = folded[start:stop]
        gaps = [len(gap) for gap in re.findall(r"[\W_]+", text)]
        words = re.split(rf"[\W_]{{{min(gaps) + 1},}}", text)
        found: list[str] = []
        for word in ("".join(filter(str.isalnum, one)) for one in words):
            if len(word) == 1 or self.guesser.knows(word):
                found.append(word)
                continue
            guess = self.guesser.surely(word)
            found += [guess.words] if guess else self.spaces.split(word) or [word]
        yield Item(text, start, stop, " ".join(found))

    def _plain(self, folded: str, part: range, *, leet: bool) -> Iterator[Item]:
        """The words of a part; `leet`: digits stand for letters in some word of the letter."""
        for chunk in CHUNK.finditer(folded, part.start, part.stop):
            word, (start, end) = chunk[0], chunk.span()
            if word.isalpha():
                yield Item(word, start, end)
            elif word[-1] in _STOPS and word[:-1].isalpha() and not self._means_more(word):
                yield Item(word[:-1], start, end - 1)  # as most others
            else:
                yield from self._chunk(word, start, leet=leet)

    def _means_more(self, word: str) -> bool:
        """Whether the stop behind a word is part of it."""
        return word in self.spellings.all_phrases or word.endswith("www.")

    def _chunk(self, chunk: str, at: int, *, leet: bool) -> Iterator[Item]:
        """The words between two blanks."""
        if _LINK.search(chunk):
            yield Item(chunk, at, at + len(chunk))
            return
        soft = _SOFT_EDGES.sub("", chunk)
        if INITIAL.match(soft) or soft in self.spellings.all_phrases:
            yield Item(soft, at + chunk.find(soft), at + chunk.find(soft) + len(soft))
            return
        core = _EDGES.sub("", chunk)
        at += chunk.find(core)
        parts = list(_WORD.finditer(core))
        words = [part[0] for part in parts if part[0][0].isalnum()]
        if not words:
            yield from (Item(part[0], at + part.start(), at + part.end()) for part in parts)
            return
        if not leet and NUMBERED.fullmatch(core) and core not in self.spellings.all_phrases:
            return
        if core.isdigit() and leet and len(core) > 1 and (guess := self.guesser.surely(core)):
            yield Item(core, at, at + len(core), guess.words)
            return
        if core.isalnum() and not core.isdigit():
            yield Item(core, at, at + len(core))
            return
        if not _MASKS.isdisjoint(core):
            yield Item(core, at, at + len(core))
            return
        if _CONTRACTED.fullmatch(core) and all(map(self.guesser.knows, words)):
            yield from (Item(part[0], at + part.start(), at + part.end()) for part in parts if part[0].isalnum())
            return
        whole = len(words) > 1 and PICTURES.isdisjoint(core) and all(map(self.guesser.knows, words))
        guess = self.guesser.surely(core)
        if guess and self._is_better(
            guess.words, words, certain=whole or core[0] in "($€" or set(core) <= _OF_WORDS.union(*words)
        ):
            yield Item(core, at, at + len(core), guess.words, guess.sure)
            return
        if whole and "." in core and len(words) > 2:
            yield Item(core, at, at + len(core), " ".join(words))
            return
        for part in parts:
            if part[0][0].isalnum() or part[0] in PICTURES:
                yield Item(part[0], at + part.start(), at + part.end())

    def _is_better(self, one: str, words: Sequence[str], *, certain: bool) -> bool:
        """Whether it is likelier what was meant than its parts; `certain`: these may well be words."""
        return self.guesser.grave_one(one) if certain else one not in words
