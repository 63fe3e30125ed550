"""Words of a letter written out: spellings of short messages, parts of one word, signs, slips, and what sounds alike.

Below `disguise`, which says where to look. What is no word gets the one that was meant, if that can be told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from web.moderation.cutting import INITIAL
from web.moderation.folding import PICTURES
from web.moderation.guesses import Guess, Guesser
from web.moderation.meant import Item
from web.moderation.run_together import Splitter, speaks_to_somebody
from web.moderation.spellings import Spellings

_TALL_I: Final = re.compile("(?<=[a-z])I")
"""Looks like an l: "arsehoIe"."""
_CAMEL: Final = re.compile("[A-Z]?[^\\W\\dA-Z_]+|[A-Z](?![a-z])")
_PICTURE: Final = "[\u2190-\u2bff\U0001f000-\U0001faff]"
BETWEEN: Final = re.compile(rf"(?<![^\W_])(?:[^\W_]+(?:['’][^\W_]+)?\s?{_PICTURE}+\s?){{3,}}")
_LONGEST_PHRASE: Final = 5
_LEAST_BROKEN: Final = 4
"""Letters of a word that stands in two parts."""
_LEAST_JOINED: Final = 9
_LEAST_LENGTH: Final = 3
"""Of words that were run together, on the average."""
_FEW_BARE: Final = 2
_FEW: Final = 6
_MOST_UNKNOWN: Final = 40
"""Words in no list that are guessed at; a letter has a few."""
_GOING: Final = frozenset(["vais", "va", "vas", "vai", "allons", "veux", "veut"])
_OBJECTS: Final = frozenset(["te", "t", "vous", "la", "le", "les", "lui", "leur"])
_PARTICIPLES: Final = ("é", "ée", "ai", "è", "és")


@dataclass(frozen=True, slots=True)
class WriterOut:
    """Knows what to put for words."""

    guesser: Guesser
    spellings: Spellings
    spaces: Splitter

    def write_out(self, items: list[Item], text: str, folded: str, places: Sequence[int]) -> list[Item]:
        """The words, with what is put for them; `places`: where the characters of `folded` stand in `text`."""
        words = [one.word for one in items]
        language = self.spellings.language(words)
        items = self._by_phrase(items, language)
        items = list(self._joined(items, folded))
        bared = sum(self._is_bare(one) for one in items) >= _FEW_BARE
        left = _MOST_UNKNOWN
        found: list[Item] = []
        known: dict[str, Item] = {}
        between = BETWEEN.search(text) is not None
        for one in items:
            new = one
            if one.put is None and one.word in PICTURES:
                new = self._sign(one, found, language)
                new = new._replace(put="") if between and new.put is None else new
            elif one.put is None and not self.guesser.knows(one.word) and (left or one.word in known):
                if one.word not in known:
                    left -= 1
                    written = text[places[one.start] : places[one.end - 1] + 1]
                    first = not found and len(items) <= _FEW
                    known[one.word] = self._unknown(one, written, first=first, language=language, bared=bared)
                new = one._replace(put=known[one.word].put, sure=known[one.word].sure)
            found.append(new)
        return list(_infinitives(found, text, places)) if language == "fr" else found

    def _is_bare(self, one: Item) -> bool:
        return (
            one.put is None
            and one.word not in self.guesser.known
            and one.word.isalpha()
            and len(one.word) > 1
            and not set(one.word).intersection("aeiouy")
        )

    def _by_phrase(self, items: list[Item], language: str) -> list[Item]:
        ours, every = self.spellings.phrases[language], self.spellings.all_phrases
        written = [one.word if one.put is None else one.put for one in items]
        found: list[Item] = []
        at = 0
        while at < len(items):
            opens = written[at].partition(" ")[0] in self.spellings.openings
            for size in range(min(_LONGEST_PHRASE, len(items) - at) if opens else 0, 0, -1):
                key = " ".join(written[at : at + size])
                put = ours.get(key)
                if put is None and (size > 1 or not self.guesser.knows(key)):
                    put = every.get(key)
                if put is not None:
                    found.append(Item(key, items[at].start, items[at + size - 1].end, put))
                    at += size
                    break
            else:
                found.append(items[at])
                at += 1
        return found

    def _joined(self, items: list[Item], folded: str) -> Iterator[Item]:
        """Two parts of which one is no word, together where that is one: "bit ch"."""
        skip = False
        for one, other in pairwise([*items, Item("", 0, 0)]):
            if skip:
                skip = False
                continue
            both = one.word + other.word
            alone = one.put is None and other.put is None and both.isalpha() and len(both) >= _LEAST_BROKEN
            if (
                alone
                and other.word
                and self._are_parts(one, other)
                and "'" not in folded[max(0, one.start - 1) : other.end + 1]
            ):
                yield Item(both, one.start, other.end, both, sure=False)
                skip = True
            else:
                yield one

    def _are_parts(self, one: Item, other: Item) -> bool:
        both = one.word + other.word
        if not (self.guesser.grave_one(both) or both in self.guesser.frequent):
            return False
        return not (self._is_word(one.word) and self._is_word(other.word))

    def _is_word(self, word: str) -> bool:
        """Whether it is one, and none of the many of two letters that are parts of others."""
        return word in (self.guesser.frequent if len(word) > 2 else self.guesser.small)

    def _sign(self, one: Item, before: Sequence[Item], language: str) -> Item:
        last = next((words[-1] for other in reversed(before) if (words := str(other).split())), "")
        put = self.spellings.signs[language].get(one.word)
        return one._replace(put=put, sure=False) if put and last in self.spellings.before_signs else one

    def _unknown(self, one: Item, written: str, *, first: bool, language: str, bared: bool) -> Item:
        """What is put for a word that nobody knows, if it can be told."""
        if initial := INITIAL.match(one.word):
            return one._replace(put=self._of_initial(initial, language), sure=False)
        if guess := self.guesser.surely(one.word):
            return one._replace(put=guess.words, sure=True)
        if _TALL_I.search(written) and self.guesser.knows(tall := _TALL_I.sub("l", written).lower()):
            return one._replace(put=tall)
        if len(words := _CAMEL.findall(written)) > 2 and all(self.guesser.knows(word.lower()) for word in words):
            return one._replace(put=" ".join(words).lower())
        if written[:1].isupper() and not written[1:2].isupper() and not first:
            return one  # a name
        guess = self.guesser.maybe(one.word, written.lower(), bared=bared) or self._run_together(one.word)
        return one._replace(put=guess.words, sure=guess.sure) if guess else one

    def _of_initial(self, initial: re.Match[str], language: str) -> str | None:
        fitting = [word for word in self.spellings.initials[language] if word[0] == initial[1]]
        exact = (word for word in fitting if len(word) == len(initial.string))
        return next(exact, fitting[0] if fitting else None)

    def _run_together(self, word: str) -> Guess | None:
        words = self.spaces.split(word) if len(word) >= _LEAST_JOINED else []
        rude = any(map(self.guesser.grave_one, words)) and len(word) >= _LEAST_LENGTH * len(words)
        return Guess(" ".join(words), sure=False) if rude or speaks_to_somebody(words) else None


def _infinitives(items: Sequence[Item], text: str, places: Sequence[int]) -> Iterator[Item]:
    """ "je vais te tué": the infinitive that sounds like it."""
    said: list[str] = []
    for one in items:
        new = one
        if one.put is None and len(said) > 1 and said[-1] in _OBJECTS | _GOING and not _GOING.isdisjoint(said[-3:]):
            written = text[places[one.start] : places[one.end - 1] + 1].lower()
            ending = next((end for end in sorted(_PARTICIPLES, key=len, reverse=True) if written.endswith(end)), None)
            if ending is not None and len(written) > len(ending) + 1:
                new = one._replace(put=one.word[: len(one.word) - len(ending)] + "er")
        said += str(new).split()
        yield new
