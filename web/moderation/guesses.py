"""What a word may have been meant as that is in no list.

Digits and marks for letters, letters drawn out or apart, masked, left out, changed or turned round, or the word spelled
as it sounds.

Beside the reading of a letter: `disguise` asks it about words that nobody knows. Each try is a look-up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, NamedTuple

from web.moderation.concepts import Concepts
from web.moderation.lexicon import fits_mask
from web.moderation.pack import Rulebook
from web.moderation.sounds import bare, english_sound, french_sound
from web.moderation.spellings import Spellings
from web.moderation.words import load_words

RUN_OF_LETTERS: Final = re.compile(r"[^\W_]+")
"""Letters and digits without a mark between them."""
NUMBERED: Final = re.compile(r"\d+[a-z]{1,3}|[a-z]{1,2}\d+|\d+h\d+")
"""A floor, an hour, a room: digits that stand for no letter."""
_GRAVE_CONCEPTS: Final = ("insult", "hateword", "swear", "kill", "hurt", "worthless", "vile", "ugly")
_UNSCORED: Final = -12.0
_LONGEST: Final = 24
_MARKS: Final = "013457896@$!€|+()µ"
_LEET: Final = tuple(
    str.maketrans(_MARKS, letters) for letters in ("oieastbggasieitcdu", "oleastbggaslelicdu", "oieasvbggasieitcdu")
)
"""1 is i or l; 7 is t or v."""
_V_FOR_U: Final = str.maketrans("v", "u")
_MASKS: Final = frozenset("*#")
_LEAST_SOUND: Final = 4
_MOST_LONGER: Final = 2
_LEAST_SLIP: Final = 5
_LEAST_BARE: Final = 4
_FEWEST_BARE: Final = 3
_LEAST_REVERSED: Final = 4
_LEAST_GRAVE: Final = 4
_ENDINGS: Final = ("s", "es", "ee", "ees", "iez")
_ELIDED: Final = frozenset("djlmnst")
_VOWELS: Final = frozenset("aeiouy")
_INFINITIVE: Final = ("é", "er", "ez", "ai", "è", "ée")


class Guess(NamedTuple):
    """What a word was meant as, and whether it can hardly be anything else."""

    words: str
    sure: bool


@dataclass(frozen=True, slots=True)
class Guesser:
    """The words of our lists, looked up by what a disguise leaves of them; one serves all letters."""

    known: AbstractSet[str]
    """Words that are none of another word's disguises."""
    grave: Mapping[str, float]
    """Those that insult, threaten, or are about sex, with how likely each is."""
    named: Mapping[str, float]
    """Those that the rules name."""
    small: AbstractSet[str]
    """Frequent ones of one or two letters, and others."""
    frequent: AbstractSet[str]
    """Those of them that are no rare ones."""
    usual: AbstractSet[str]
    """Words that tell of no disguise: those that are known but for the rarest word of each spelling of several."""
    spelled: Mapping[str, Sequence[frozenset[str]]]
    """By this rarest word, the words of each."""
    _by_sound: dict[str, list[str]] = field(init=False, default_factory=dict)
    _by_slip: dict[str, str] = field(init=False, default_factory=dict)
    _by_bare: dict[str, str] = field(init=False, default_factory=dict)
    _by_first: dict[str, list[str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Work out what follows from the words; the likeliest first, grave ones before all others."""
        ranked = _ranked(self.grave)
        for word in ranked:
            self._by_first.setdefault(word[0], []).append(word)
            if len(word) >= _LEAST_SLIP:
                for slip in (word, *_without_one(word)):
                    self._by_slip.setdefault(slip, word)
            if len(word) >= _LEAST_GRAVE:
                for key in _sounds(word):
                    self._by_sound.setdefault(key, []).append(word)
        for word in (*ranked, *_ranked(self.named)):
            if len(word) >= _LEAST_GRAVE:
                self._by_bare.setdefault(bare(word), word)

    def knows(self, word: str) -> bool:
        """Whether it is a word, or a number."""
        return word in self.known or word.isdigit()

    def tells(self, word: str, beside: AbstractSet[str]) -> bool:
        """Whether a word that is not usual tells of a disguise, `beside` these of the same part of a letter."""
        if word in self.spelled:
            return any(words <= beside for words in self.spelled[word])
        return not (self.knows(word) or NUMBERED.fullmatch(word))

    def surely(self, word: str) -> Guess | None:
        """What `word`, folded and with whatever marks are in it, is once digits, marks and repetitions are read."""
        if not _MASKS.isdisjoint(word):
            return None
        for form in _letters(word[: 4 * _LONGEST]):
            drawn_out = _is_drawn_out(form)
            for other in _once(form):
                likely = self.known if drawn_out or other == form else self.grave
                if other != word and len(other) > 1 and other in likely:
                    return Guess(other, sure=True)
        if "v" in word and (other := "".join(filter(str.isalpha, word)).translate(_V_FOR_U)) in self.grave:
            return Guess(other, sure=True)
        return None

    def grave_one(self, word: str) -> bool:
        """Whether it insults, threatens, or is about sex."""
        return word in self.grave and len(word) >= _LEAST_GRAVE

    def maybe(self, word: str, written: str, *, bared: bool) -> Guess | None:
        """What `word` may be; `written` has its accents. `bared`: whether words of the letter lack their vowels."""
        form = next(_letters(word), word)
        tries: tuple[Callable[[], str | None], ...] = (
            lambda: self._masked(word),
            lambda: self._bare(form, bared=bared),
            lambda: self._reversed(form),
            lambda: None if self._is_ending(form) else self._slipped(form),
            lambda: None if self._is_ending(form) else self._sounding(form if form != word else written),
            lambda: self._elided(form, written),
        )
        for one in tries:
            if found := one():
                return Guess(found, sure=False)
        return None

    def _is_ending(self, word: str) -> bool:
        """Whether it is a word with an ending that the list of words does not have: "grondées"."""
        return any(word.endswith(end) and word.removesuffix(end) in self.known for end in _ENDINGS)

    def _masked(self, word: str) -> str | None:
        if _MASKS.isdisjoint(word) or word[:1] in _MASKS or len(word) > _LONGEST:
            return None
        parts = ["".join(run) for _, run in groupby(word, _MASKS.__contains__)]
        if len(parts) % 2 == 0:
            parts.append("")
        if not any(map(str.isalpha, parts[2::2])) and len(parts[0]) < 2:
            return None
        likely = [one for one in self._by_first.get(word[0], ()) if fits_mask(parts, one)]
        return next((one for one in likely if len(one) == len(word)), likely[0] if likely else None)

    def _bare(self, word: str, *, bared: bool) -> str | None:
        if len(word) < (_FEWEST_BARE if bared else _LEAST_BARE) or not word.isalpha() or not _VOWELS.isdisjoint(word):
            return None
        found = self._by_bare.get(word)
        return found if found and (bared or found in self.grave) else None

    def _reversed(self, word: str) -> str | None:
        found = word[::-1]
        return found if len(word) >= _LEAST_REVERSED and self.grave_one(found) else None

    def _sounding(self, written: str) -> str | None:
        if len(written) < _LEAST_SOUND or not written.isalpha():
            return None
        for key in _sounds(written):
            likely = [one for one in self._by_sound.get(key, ()) if abs(len(one) - len(written)) <= _MOST_LONGER]
            if likely:
                ends = [one for one in likely if one.endswith("er")] if written.endswith(_INFINITIVE) else []
                return (ends or likely)[0]
        return None

    def _elided(self, word: str, written: str) -> str | None:
        """A small French word run into the next: "tégorgé"."""
        if word[:1] not in _ELIDED or not word.isalpha() or len(word) <= _LEAST_GRAVE:
            return None
        rest = word[1:]
        if self.knows(rest) and not self.grave_one(rest):
            return None
        found = rest if self.grave_one(rest) else self._slipped(rest) or self._sounding(written[1:])
        return f"{word[0]} {found}" if found else None

    def _slipped(self, word: str) -> str | None:
        if len(word) < _LEAST_SLIP or len(word) > _LONGEST or not word.isalpha():
            return None
        found = (self._by_slip.get(one) for one in (word, *_without_one(word)))
        return next((one for one in found if one and one[0] == word[0] and abs(len(one) - len(word)) <= 1), None)


def _ranked(likely: Mapping[str, float]) -> list[str]:
    """The likeliest first; of those that are as likely, the shortest."""
    return sorted(likely, key=lambda word: (-likely[word], len(word), word))


def _letters(word: str) -> Iterator[str]:
    """`word` with its digits and marks read as letters, and without what is none."""
    if word.isalpha():
        yield word
    else:
        for table in _LEET:
            yield "".join(filter(str.isalpha, word.translate(table)))
        if not any(map(str.isdigit, word)):
            yield "".join(filter(str.isalpha, word))


def _is_drawn_out(word: str) -> bool:
    """Whether a letter stands three times in a row, or each of them twice."""
    sizes = [len(list(run)) for _, run in groupby(word)]
    return max(sizes, default=0) > 2 or min(sizes, default=0) > 1


def _once(word: str) -> Iterator[str]:
    """`word` with letters that are repeated once, twice where it is drawn out."""
    yield word
    runs = [(letter, len(list(run))) for letter, run in groupby(word)]
    if len(runs) == len(word):
        return
    least = min(size for _, size in runs)
    if least > 1:  # "yyoouu": all of them alike
        yield "".join(letter * (size // least) for letter, size in runs)
    yield "".join(letter * min(size, 2) for letter, size in runs)
    yield "".join(letter for letter, size in runs)
    longest = [at for at, (_, size) in enumerate(runs) if size > 1]
    for double in longest[:4]:
        yield "".join(letter * (2 if at == double else 1) for at, (letter, _) in enumerate(runs))


def _without_one(word: str) -> Iterator[str]:
    """`word` with one of its letters left out, but for the first."""
    return (word[:at] + word[at + 1 :] for at in range(1, len(word)))


def _sounds(word: str) -> Iterable[str]:
    return f"f{french_sound(word)}", f"e{english_sound(word)}"


def guesser_of(book: Rulebook, concepts: Concepts, spellings: Spellings, likely: Mapping[str, float]) -> Guesser:
    """The guesser of these words; `likely` says how likely some of them are."""
    lexicon = book.lexicon
    both = {**lexicon.words, **lexicon.stems}
    grave = {word for word, classes in both.items() if classes & lexicon.grave}
    numbers = {concepts.names.index(name) for name in _GRAVE_CONCEPTS}
    spoken = {word for table in (concepts.words, concepts.stems) for word, some in table.items() if numbers & set(some)}
    grave |= (spoken - lexicon.plain) | spellings.grave
    grave = {word for word in grave - spellings.plain if word.isalpha() and word.isascii()}
    named = {word for word in lexicon.words if word.isalpha() and word.isascii()} - book.common
    frequent = {
        *concepts.families,
        *lexicon.words,
        *concepts.words,
        *grave,
        *lexicon.plain,
        *book.common,
        *book.aliases,
    }
    known = frequent | load_words() | spellings.plain
    spelled: dict[str, list[frozenset[str]]] = {}
    for key in spellings.all_phrases:
        words = key.split()
        rarest = min(words, key=lambda word: likely.get(word, _UNSCORED - (word not in known)))
        spelled.setdefault(rarest, []).append(frozenset(RUN_OF_LETTERS.findall(key)))
    return Guesser(
        known,
        {word: likely.get(word, _UNSCORED) for word in grave},
        {word: likely.get(word, _UNSCORED) for word in named},
        spellings.every_small | book.common,
        frequent,
        frozenset(known - spelled.keys()),
        spelled,
    )
