"""A letter as it may have been meant: words that were hidden or spelled as they are spoken, written out.

Beside the reading of a letter, which knows many disguises of a word where it looks it up. What is in no list then is
written out here, and the letter is read once more with these words in it. A letter of plain words has none of them.
Linear in its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import add
from typing import Final

from web.moderation.folding import PICTURES, fold
from web.moderation.guesses import Guess, Guesser
from web.moderation.meant import CHUNK, Change, Item, Meant, folded_by_word, parts_of, windows
from web.moderation.run_together import Splitter, speaks_to_somebody
from web.moderation.spellings import Spellings

_APART: Final = re.compile(r"(?<![^\W_])(?:[^\W_](?:(?:[^\w\n]|_){1,3}|\n)){3,}[^\W_](?![^\W_])")
"""Letters that stand one by one, with the same between them."""
_WORD: Final = re.compile(r"[^\W_]+|[^\w\s]")
_EDGES: Final = re.compile(r"^[\"“”„«»'‘’.,;:?\[{<>…\-–—~_)#]+|[\"“”„«»'‘’.,;:?!\]})>…\-–—~_]+$")
_SOFT_EDGES: Final = re.compile(r"^[\"“”„«»'‘’\[{<]+|[\"“”„«»'‘’,;:?!\]}>]+$")
_LINK: Final = re.compile(r"https?:|www\.|\w@\w+\.\w|\w\.(?:com|org|net|fr|io)\b")
_SHORT_LINES: Final = re.compile(
    r"(?:^|(?<=[.!?;…\n]))(?:[^\w\n.!?;…]*[^\W_]+(?:[ '’][^\W_]+)?[^\w\n.!?;…]*[.!?;…\n]+ *){3,}"
)
_RUN_OF_LETTERS: Final = re.compile(r"[^\W_]+")
_MARKED: Final = re.compile(
    r"[^\W_][*#@$€+|_(/~][^\W_]|[^\W_]\*\*|[^\W_]!+[^\W_]|(?<![^\W_])[@$€(][^\W\d_]"
    r"|(?<![^\W_])\d+ [ut]|[^\W\d_]\$(?![^\W_])"
)
"""Signs that stand for a letter, hide some, or part them."""
_DIGITS_INSIDE: Final = re.compile(r"[^\W\d_]\d[^\W\d_]")
_NUMBERED: Final = re.compile(r"\d+[a-z]{1,3}|[a-z]{1,2}\d+|\d+h\d+")
"""A floor, an hour, a room: digits that stand for no letter."""
_LEAST_STOPS: Final = 3
_STOPS: Final = re.compile(r"[.!?;…\n]+")
_INITIAL: Final = re.compile(r"([a-z])([*.#_-])\2{1,}\*?$")
_TALL_I: Final = re.compile("(?<=[a-z])I")
"""Looks like an l: "arsehoIe"."""
_CAMEL: Final = re.compile("[A-Z]?[^\\W\\dA-Z_]+|[A-Z](?![a-z])")
_PICTURE: Final = "[\u2190-\u2bff\U0001f000-\U0001faff]"
_BETWEEN: Final = re.compile(rf"(?<![^\W_])(?:[^\W_]+(?:['’][^\W_]+)?\s?{_PICTURE}+\s?){{3,}}")
_MASKS: Final = frozenset("*#")
_CONTRACTED: Final = re.compile("[^\\W_]+['’](?:ll|re|ve|s|t|d|m)|(?:[cdjlmnst]|qu|jusqu|lorsqu)['’][^\\W_]+")
_OF_WORDS: Final = frozenset("'’-")
"""Marks that stand inside of words."""
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
_MOST_LOOKED_AT: Final = 800
"""Characters in whose words a disguise is looked for, beside those of plain words."""
_TURNED: Final = str.maketrans("ɐɔǝɟƃɥᴉıɾʞɯɹʇʌʍʎ∀qbdpnu", "acefghiijkmrtvwyabqpdun")
_TURNED_SIGNS: Final = frozenset("ɐɔǝɟƃɥᴉɾʞɯɹʇʌʍʎ∀")
_GOING: Final = frozenset(["vais", "va", "vas", "vai", "allons", "veux", "veut"])
_OBJECTS: Final = frozenset(["te", "t", "vous", "la", "le", "les", "lui", "leur"])
_PARTICIPLES: Final = ("é", "ée", "ai", "è", "és")


@dataclass(frozen=True, slots=True)
class Disguises:
    """Reads letters for what is hidden in them; one serves all."""

    guesser: Guesser
    spellings: Spellings
    spaces: Splitter

    def meant(self, letter: str) -> Iterator[Meant]:
        """The letter as it may have been meant, where that is not as it is written."""
        left = _MOST_LOOKED_AT
        for part in parts_of(letter):
            text = letter[part.start : part.stop]
            if left > 0 and not self._is_plain(text):
                left -= len(text)
                yield from self._meant(text, part.start)

    def _meant(self, text: str, at: int) -> Iterator[Meant]:
        whole = len(_TURNED_SIGNS.intersection(text)) > 1
        written, together = _without_stops(text.translate(_TURNED) if whole else text)
        turned = self._turned_round(written)
        if turned is not None:
            yield Meant(turned, [Change(0, len(turned), at, at + len(text), sure=True)])
            return
        items = self._items(written)
        items = [replace(one, put=str(one)) if whole or _within(one, together) else one for one in items]
        unknown = sum(one.put is None and not self.guesser.knows(one.word) for one in items)
        if any(one.put is not None for one in items) and unknown * 2 <= len(items):  # else it is no language
            yield from windows(written, items, self.guesser.grave_one, at)

    def _is_plain(self, letter: str) -> bool:
        """Whether it is written as most letters are: of words that are spelled as they should be."""
        folded, _ = fold(letter)
        words = _RUN_OF_LETTERS.findall(folded)
        if not all(word in self.guesser.usual or word.isdigit() for word in words):
            return False
        if not self.guesser.grave.keys().isdisjoint(map(add, words, words[1:])) or _MARKED.search(folded):
            return False
        stops = len(_STOPS.findall(folded)) >= _LEAST_STOPS and _SHORT_LINES.search(folded)
        stops = stops or _BETWEEN.search(folded)
        return not stops and self.spellings.all_signs.isdisjoint(letter) and not _APART.search(folded)

    def _turned_round(self, text: str) -> str | None:
        """The text read from its end, or each word from its end, if that gives words and what is written does not."""
        words = [word for word in re.findall(r"[^\W\d_]+", fold(text[:400])[0]) if len(word) > 2]
        if sum(map(self.guesser.knows, words)) * 2 > len(words):
            return None
        backwards = [self.guesser.knows(word[::-1]) for word in words]
        if sum(backwards) * 3 < len(words) * 2 or sum(backwards) < 2:
            return None
        by_word = re.sub(r"[^\W\d_]+", lambda found: found[0][::-1], text)
        return f"{by_word}\n{text[::-1]}"

    def _items(self, text: str) -> list[Item]:
        folded, places = folded_by_word(text)
        items: list[Item] = []
        at = 0
        leet = _DIGITS_INSIDE.search(folded) is not None
        for run in _APART.finditer(folded):
            items += self._plain(folded, range(at, run.start()), leet=leet)
            items += self._together(folded, run.start(), run.end())
            at = run.end()
        items += self._plain(folded, range(at, len(folded)), leet=leet)
        items = self._written_out(items, text, folded, places)
        return [replace(one, start=places[one.start], end=places[one.end - 1] + 1) for one in items]

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
            yield from self._chunk(chunk[0], chunk.start(), leet=leet)

    def _chunk(self, chunk: str, at: int, *, leet: bool) -> Iterator[Item]:
        """The words between two blanks."""
        if chunk.isalpha() or _LINK.search(chunk):
            yield Item(chunk, at, at + len(chunk))
            return
        soft = _SOFT_EDGES.sub("", chunk)
        if _INITIAL.match(soft) or soft in self.spellings.all_phrases:
            yield Item(soft, at + chunk.find(soft), at + chunk.find(soft) + len(soft))
            return
        core = _EDGES.sub("", chunk)
        at += chunk.find(core)
        parts = list(_WORD.finditer(core))
        words = [part[0] for part in parts if part[0][0].isalnum()]
        if not words:
            yield from (Item(part[0], at + part.start(), at + part.end()) for part in parts)
            return
        if not leet and _NUMBERED.fullmatch(core) and core not in self.spellings.all_phrases:
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

    def _written_out(self, items: list[Item], text: str, folded: str, places: Sequence[int]) -> list[Item]:
        words = [one.word for one in items]
        language = self.spellings.language(words)
        items = self._by_phrase(items, language)
        items = list(self._joined(items, folded))
        bared = sum(self._is_bare(one) for one in items) >= _FEW_BARE
        left = _MOST_UNKNOWN
        found: list[Item] = []
        known: dict[str, Item] = {}
        between = _BETWEEN.search(text) is not None
        for one in items:
            new = one
            if one.put is None and one.word in PICTURES:
                new = self._sign(one, found, language)
                new = replace(new, put="") if between and new.put is None else new
            elif one.put is None and not self.guesser.knows(one.word) and (left or one.word in known):
                if one.word not in known:
                    left -= 1
                    written = text[places[one.start] : places[one.end - 1] + 1]
                    first = not found and len(items) <= _FEW
                    known[one.word] = self._unknown(one, written, first=first, language=language, bared=bared)
                new = replace(one, put=known[one.word].put, sure=known[one.word].sure)
            found.append(new)
        return list(_infinitives(found, text, places)) if language == "fr" else found

    def _is_bare(self, one: Item) -> bool:
        return (
            one.put is None
            and one.word.isalpha()
            and len(one.word) > 1
            and not self.guesser.knows(one.word)
            and not set(one.word).intersection("aeiouy")
        )

    def _by_phrase(self, items: list[Item], language: str) -> list[Item]:
        ours, every = self.spellings.phrases[language], self.spellings.all_phrases
        written = [str(one) for one in items]
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
        return replace(one, put=put, sure=False) if put and last in self.spellings.before_signs else one

    def _unknown(self, one: Item, written: str, *, first: bool, language: str, bared: bool) -> Item:
        """What is put for a word that nobody knows, if it can be told."""
        if initial := _INITIAL.match(one.word):
            return replace(one, put=self._of_initial(initial, language), sure=False)
        if guess := self.guesser.surely(one.word):
            return replace(one, put=guess.words, sure=True)
        if _TALL_I.search(written) and self.guesser.knows(tall := _TALL_I.sub("l", written).lower()):
            return replace(one, put=tall)
        if len(words := _CAMEL.findall(written)) > 2 and all(self.guesser.knows(word.lower()) for word in words):
            return replace(one, put=" ".join(words).lower())
        if written[:1].isupper() and not written[1:2].isupper() and not first:
            return one  # a name
        guess = self.guesser.maybe(one.word, written.lower(), bared=bared) or self._run_together(one.word)
        return replace(one, put=guess.words, sure=guess.sure) if guess else one

    def _of_initial(self, initial: re.Match[str], language: str) -> str | None:
        fitting = [word for word in self.spellings.initials[language] if word[0] == initial[1]]
        exact = (word for word in fitting if len(word) == len(initial.string))
        return next(exact, fitting[0] if fitting else None)

    def _run_together(self, word: str) -> Guess | None:
        words = self.spaces.split(word) if len(word) >= _LEAST_JOINED else []
        rude = any(map(self.guesser.grave_one, words)) and len(word) >= _LEAST_LENGTH * len(words)
        return Guess(" ".join(words), sure=False) if rude or speaks_to_somebody(words) else None


def _without_stops(text: str) -> tuple[str, list[range]]:
    """The text with blanks for the stops between sentences of one or two words, and where these stood."""
    found = [range(*match.span()) for match in _SHORT_LINES.finditer(text)]
    for part in found:
        blank = _STOPS.sub(lambda stops: " " * len(stops[0]), text[part.start : part.stop].rstrip(".!?;…\n"))
        text = text[: part.start] + blank + text[part.start + len(blank) :]
    return text, found


def _within(one: Item, parts: Sequence[range]) -> bool:
    return any(one.start in part for part in parts)


def _infinitives(items: Sequence[Item], text: str, places: Sequence[int]) -> Iterator[Item]:
    """ "je vais te tué": the infinitive that sounds like it."""
    said: list[str] = []
    for one in items:
        new = one
        if one.put is None and len(said) > 1 and said[-1] in _OBJECTS | _GOING and not _GOING.isdisjoint(said[-3:]):
            written = text[places[one.start] : places[one.end - 1] + 1].lower()
            ending = next((end for end in sorted(_PARTICIPLES, key=len, reverse=True) if written.endswith(end)), None)
            if ending is not None and len(written) > len(ending) + 1:
                new = replace(one, put=one.word[: len(one.word) - len(ending)] + "er")
        said += str(new).split()
        yield new
