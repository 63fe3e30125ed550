"""What the rules find in a letter: its words as they are meant, and the places that a rule speaks of.

Fourth step of moderation, before the readings weigh what was found. Pure and total, in time linear in the
length of a letter.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Final

from web.moderation.features import clue_feature, hit_feature, stretches
from web.moderation.folding import BARRIER, MOST_TOKENS, PICTURES, PLAIN, Token, spelled_out, tokens_of
from web.moderation.languages import ForeignWords, load_foreign_words
from web.moderation.pack import BARRIER_CLASS, Rulebook
from web.moderation.pattern import Pattern, Places
from web.moderation.ruling import Rule, Step
from web.moderation.traces import MOST_FOUND, Found, Trace, find_traces

MOST_READ: Final = 4000
"""Characters that are read; the front takes 2,000."""
_BEFORE_QUOTE: Final = 8
_BEFORE_TRACE: Final = 60
"""Characters before a number or an address that tell whose it is."""
_START: Final = attrgetter("start")
_QUOTED: Final = attrgetter("quoted")
_DRAWN: Final = re.compile(r"[^\w\s.,;:!?…'’\"“”«»()\-–—*~^<>/\\]")
_BLOCKS: Final = re.compile("[\u2500-\u25ff\u2800-\u28ff]")
_LEAST_DRAWN: Final = 30
"""Marks, neither letters nor punctuation, from which on a letter with more of them than letters is a drawing."""
_MOST_PICTURES: Final = 250
_MANY: Final = 80
"""Words from which on a letter has to be of words that are frequent in a language we know."""
_OVER_AND_OVER: Final = 20
"""Tokens from which on one word alone, again and again, is no letter."""
_LEAST_FREQUENT: Final = 2 / 5
"""The share of them; of our letters of that length none has less than three fifths."""
_ALPHABETS: Final = re.compile("[a-z][\u0370-\u1dff\u2c00-\ufaff]|[\u0370-\u1dff\u2c00-\ufaff][a-z]")


@dataclass(frozen=True, slots=True)
class Hit:
    """What one rule says about characters `start` to `end` of a letter."""

    rule: Rule
    step: Step
    start: int
    end: int
    weighed: bool = False
    """Whether the readings may lower it."""
    firm: bool = False
    """Whether it is lowered to a hold at most."""


@dataclass(frozen=True, slots=True)
class Clue:
    """A pattern that matched characters `start` to `end`, whether or not anything follows from it."""

    start: int
    end: int
    feature: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A letter as it was read, and what the rules found."""

    text: str
    """What the readings read of it: a link, whose words say little, is as many blanks."""
    tokens: Sequence[Token]
    """Likewise."""
    hits: Sequence[Hit]
    clues: Sequence[Clue] = ()
    unreadable: bool = False
    """Whether the whole of it is in a language that the readings do not know, or in none."""

    def stretches(self) -> Iterator[tuple[range, Collection[int]]]:
        """The stretches of the letter, by the places of their tokens, and the features of what the rules found."""
        found = [
            *self.clues,
            *(Clue(hit.start, hit.end, hit_feature(hit.rule, hit.step)) for hit in self.hits if hit.weighed),
        ]
        found.sort(key=_START)
        starts = [one.start for one in found]
        longest = max([one.end - one.start for one in found], default=0)
        for part in stretches(self.tokens):
            start, end = self.tokens[part[0]].start, self.tokens[part[-1]].end
            # What began before these cannot reach as far: a letter of insults has a hundred, and as many stretches.
            near = found[bisect_left(starts, start - longest) : bisect_left(starts, end)]
            yield part, {one.feature for one in near if start < one.end}


@dataclass(frozen=True, slots=True)
class Reader:
    """The rules of both languages, asked of each letter."""

    book: Rulebook
    frequent: Collection[str]
    """Words of both languages."""
    foreign: ForeignWords = field(default_factory=load_foreign_words)

    def read(self, text: str) -> Reading:
        """The reading of a text of any content and length."""
        text = text[:MOST_READ]
        written = tokens_of(text)
        tokens = self._meant(written)
        clues: list[Clue] = []
        traces = find_traces(text)
        hits = [*self._by_rules(tokens, clues), *_by_traces(traces, tokens)]
        links = [one for one in traces if one.trace is Trace.LINK]
        outside = _outside(tokens, links)
        words = [token.word for token in tokens if token.word != BARRIER]
        unreadable = (
            max(len(written), len(tokens)) > MOST_TOKENS
            or len(traces) == MOST_FOUND
            or self._is_no_language(outside)
            or self.foreign.speak(_without_signs(text), words, self.book.common)
        )
        # What nobody would write to be read, and what stands behind it, a person looks at.
        if unreadable or _is_drawn(text) or _mixes_alphabets(words):
            hits.append(Hit(Rule.LANGUAGE, Step.HOLD, 0, len(text)))
        if not self.foreign.grave.isdisjoint(words):
            grave = (token for token in tokens if token.word in self.foreign.grave)
            hits += (Hit(Rule.LANGUAGE, Step.HOLD, token.start, token.end) for token in grave)
        return Reading(_without_links(text, links), outside, hits, clues, unreadable)

    def _is_no_language(self, tokens: Sequence[Token]) -> bool:
        """Whether it is made of hundreds of pictures, of one word, or of many of which few are frequent in ours."""
        if len(tokens) <= _OVER_AND_OVER:
            return False
        words = [token.word for token in tokens if token.word != BARRIER]
        if len(set(words)) == 1:
            return True
        if len(tokens) < _MANY:
            return False
        spoken = [word for word in words if word not in PICTURES]
        if len(words) - len(spoken) > _MOST_PICTURES:
            return True
        return len(spoken) >= _MANY and sum(map(self.frequent.__contains__, spoken)) < _LEAST_FREQUENT * len(spoken)

    def worries(self, reading: Reading) -> list[tuple[int, int]]:
        """Where the writer of what was read worries that the reader might harm themselves: characters from, to."""
        if self.book.worry is None:
            return []
        beside = Reader(self.book.worry, self.frequent, self.foreign)
        return [(hit.start, hit.end) for hit in beside._by_rules(list(reading.tokens), [])]

    def _meant(self, tokens: list[Token]) -> list[Token]:
        """Tokens with spelled-out words joined, abbreviations written out, and what others said left out."""
        runs = dict(spelled_out(tokens))
        if not runs and self.book.aliases.keys().isdisjoint([token.word for token in tokens]):
            return self._without_reported(tokens)
        read: list[Token] = []
        skip_to = -1
        for index, token in enumerate(tokens):
            if index < skip_to:
                continue
            if index in runs:
                part = [one for one in tokens[index : runs[index] + 1] if one.word != BARRIER]
                if words := self._words_of("".join(one.word for one in part)):
                    read += [Token(word, part[0].start, part[-1].end) for word in words]
                    skip_to = runs[index] + 1
                    continue
            long = self.book.aliases.get(token.word)
            read += [Token(word, token.start, token.end, token.quoted) for word in long] if long else [token]
        return self._without_reported(read)

    def _words_of(self, letters: str) -> Sequence[str]:
        """What `letters`, written apart, were meant as; nothing if they are no words."""
        return self.book.aliases.get(letters) or self.book.lexicon.split(letters)

    def _without_reported(self, tokens: list[Token]) -> list[Token]:
        """The tokens but those between quotation marks that a word of saying introduces."""
        if not any(map(_QUOTED, tokens)):
            return tokens
        lexicon, said = self.book.lexicon, self.book.said
        saying = {word for word in {token.word for token in tokens} if lexicon.classes(word) & said}
        kept: list[Token] = []
        reported = was_quoted = False
        for token in tokens:
            if token.quoted and not was_quoted:
                reported = any(one.word in saying for one in kept[-_BEFORE_QUOTE:])
            was_quoted = token.quoted
            if not (token.quoted and reported):
                kept.append(token)
        return kept

    def _by_rules(self, tokens: list[Token], clues: list[Clue]) -> Iterator[Hit]:
        """What the rules find; each pattern that matches becomes one of `clues`."""
        words = [token.word for token in tokens]
        classes = {word: self.book.lexicon.classes(word) for word in dict.fromkeys(words)}
        of = [classes[word] for word in words]
        asked = self.book.asked_of(set(of))
        if not asked:
            return
        places = self._places(of, [pattern for *_, pattern in asked])
        covered = 0
        for _, when, pattern in asked:  # allowances come first
            matches = pattern.matches(places)
            feature = clue_feature(pattern.text) if matches else 0
            for first, last in matches:
                clues.append(Clue(tokens[first].start, tokens[last].end, feature))
                reach = (1 << (last + 1)) - (1 << first)
                if when is None:
                    covered |= reach
                elif when.always or not covered & reach:
                    yield Hit(when.rule, when.step, tokens[first].start, tokens[last].end, when.weighed, when.firm)

    def _places(self, of: list[frozenset[int]], asked: list[Pattern]) -> Places:
        """The places of the classes that the patterns `asked` name; the words of a letter have ten times as many."""
        same: dict[frozenset[int], int] = {}
        for index, has in enumerate(of):
            same[has] = same.get(has, 0) | 1 << index
        named: frozenset[int] = frozenset().union(*[pattern.classes for pattern in asked])
        classes = dict.fromkeys(named, 0)
        negated = barriers = 0
        for has, bits in same.items():
            if BARRIER_CLASS in has:
                barriers |= bits
            elif not has.isdisjoint(self.book.negations):
                negated |= bits
            for number in has & named:
                classes[number] |= bits
        everywhere = (1 << len(of)) - 1
        return Places(classes, everywhere & ~barriers & ~negated, everywhere & ~barriers)


def _without_links(text: str, links: Sequence[Found]) -> str:
    for link in links:
        text = text[: link.start] + " " * (link.end - link.start) + text[link.end :]
    return text


def _outside(tokens: list[Token], links: Sequence[Found]) -> list[Token]:
    """The tokens but those in a link; the barriers at both ends stay."""
    if not links:
        return tokens
    inside = set(chain.from_iterable(range(one.start, one.end) for one in links))
    return [tokens[0], *[token for token in tokens[1:-1] if token.start not in inside], tokens[-1]]


def _is_drawn(text: str) -> bool:
    """Whether it is a picture made of marks: no rule sees the letters that these show. Emoji are none."""
    marks = sum(count for mark, count in Counter(_DRAWN.findall(text)).items() if not _is_emoji(mark))
    return marks >= _LEAST_DRAWN and marks > sum(character.isalpha() for character in text)


@lru_cache(maxsize=4096)
def _is_emoji(character: str) -> bool:
    return unicodedata.category(character) in {"So", "Sk", "Cf", "Mn", "Me"} and not _BLOCKS.match(character)


@lru_cache(maxsize=4096)
def _plain_form(character: str) -> str:
    """The letters of no alphabet of its own that a sign stands for: 𝓽 is a t."""
    return unicodedata.normalize("NFKC", character)


def _without_signs(text: str) -> str:
    """`text` with plain letters for the signs that stand for some."""
    if text.isascii():
        return text
    forms = {one: _plain_form(one) for one in set(text) if not one.isascii()}
    plain: dict[int, int | str] = {ord(one): form for one, form in forms.items() if form != one}
    return text.translate(PLAIN | plain) if plain else text


def _mixes_alphabets(words: Sequence[str]) -> bool:
    """Whether letters of several alphabets stand in one word, more than once."""
    mixed = (word for word in words if not word.isascii() and _ALPHABETS.search(word))
    return next(mixed, None) is not None and next(mixed, None) is not None


def _by_traces(found: list[Found], tokens: list[Token]) -> Iterator[Hit]:
    for one in found:
        first, last = (bisect_left(tokens, place, key=_START) for place in (one.start - _BEFORE_TRACE, one.start))
        before = {token.word for token in tokens[first:last]}
        rule, step = _of_trace(one.trace, before)
        yield Hit(rule, step, one.start, one.end)


_OTHERS: Final = frozenset(
    [
        "his",
        "her",
        "their",
        "he",
        "she",
        "lives",
        "son",
        "sa",
        "ses",
        "leur",
        "leurs",
        "habite",
        "elle",
        "il",
        "lui",
        "vit",
    ]
)
_YOURS: Final = frozenset(["your", "you", "ton", "ta", "tes", "tu", "habites", "vis", "votre"])
_OWN: Final = frozenset(["my", "me", "mon", "moi", "call", "contact", "appelle", "ecris", "reach", "text"])


def _of_trace(trace: Trace, before: set[str]) -> tuple[Rule, Step]:
    match trace:
        case Trace.WALLET:
            return Rule.EXTORTION, Step.REFUSE
        case Trace.ACCOUNT:
            return Rule.PRIVATE, Step.HOLD
        case Trace.LINK | Trace.SITE:
            return Rule.SPAM, Step.NUDGE
        case Trace.PHONE | Trace.MAILBOX | Trace.STREET:
            if before & _OTHERS and not before & _OWN:
                return Rule.PRIVATE, Step.REFUSE
            if before & _YOURS and not before & _OWN and trace is Trace.STREET:
                return Rule.PRIVATE, Step.HOLD
            return Rule.PRIVATE, Step.NUDGE
