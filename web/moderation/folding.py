"""A letter as the rules read it: words without disguise, each with its place in the text as written.

First step of moderation. Case, accents, look-alike letters of other alphabets and characters without width are
folded away here; digits and marks that stand for letters are read by the lexicon, which knows the words. Linear in
the length of the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import compress, pairwise
from string import ascii_lowercase, ascii_uppercase
from typing import Final, NamedTuple

BARRIER: Final = "."
"""The token between two sentences, and at both ends of a letter."""

MOST_TOKENS: Final = 640
"""Tokens that are read; 2,000 characters of our letters put together have 520 at most."""

_MOST_ALIKE: Final = 5
"""Times that a picture is read in one row: a hundred hearts say what five do."""

PLAIN: Final[dict[int, int | str]] = {code: code for code in range(0x80)}
"""Most of any letter: a character that a table of `str.translate` lacks costs an exception."""
_LOOKALIKES: Final = PLAIN | str.maketrans(
    "аеорсухіјѕԁһӏвкмнтгпαερονκιτυχβ‘’ʼ`´ʹ＇øłđıſɑɡɩꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴωηγσμς",
    "aeopcyxijsdhlbkmhtrnaepovkituxb'''''''oldisagibpdtgkjczfmnlsrvhwxyaeiouwnyouc",
)
_BLANKS: Final = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters by their category that show as a space."""
_SHOWS_A_LETTER: Final = (
    "CIRCLED LATIN",
    "SQUARED LATIN",
    "PARENTHESIZED LATIN",
    "SMALL CAPITAL",
    "REGIONAL INDICATOR",
)
"""What the names of signs have in them that show a letter: in a circle, in a square, of a flag, as a small capital."""
_NO_SIGNS: Final = frozenset({"Lo", "Cn", "Co", "Cs"})
"""Categories of characters whose names never do; looking for a name takes longer than all the rest."""
_WORD: Final = re.compile(
    r"[@$]?[^\W_]+(?:[@$*#!€]+[^\W_]+)*\*{0,8}|[.!?;…\n]+|[\"“”„«»]|[\u2190-\u2bff\U0001f000-\U0001faff]"
)
PICTURES: Final = frozenset(map(chr, (*range(0x2190, 0x2C00), *range(0x1F000, 0x1FB00))))
"""Signs and emoji of which each is a word of its own."""
_CYRILLIC_OR_GREEK: Final = re.compile("[\u0370-\u052f]")
_LATIN: Final = re.compile("[A-Za-z]")
_SIDE_BY_SIDE: Final = re.compile("[A-Za-z][\u0370-\u052f]|[\u0370-\u052f][A-Za-z]")
_LOWER: Final = PLAIN | dict(zip(map(ord, ascii_uppercase), ascii_lowercase, strict=True))
_ENDINGS: Final = {"re": "are", "m": "am", "ll": "will", "ve": "have", "d": "would"}
_SINGLES: Final = 3
_DOTTED: Final = 2
"""Places from one letter of a run to the next, if there is a stop between them."""
_QUOTES: Final = frozenset('"“”„«»')
_STOPS: Final = frozenset(".!?;…\n")
_NO_WORDS: Final = PICTURES | _QUOTES | _STOPS
"""What most that is no word begins with."""


class Token(NamedTuple):
    """A word of the letter as folded, and where it stands as written; a tuple, since a letter makes hundreds."""

    word: str
    start: int
    end: int
    quoted: bool = False


_token: Final[Callable[[tuple[str, int, int, bool]], Token]] = partial(tuple.__new__, Token)
"""In half the time that the class takes."""


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    if character in _BLANKS:
        return " "
    kind = unicodedata.category(character)
    if kind in {"Cf", "Mn", "Me"}:
        return ""
    if kind not in _NO_SIGNS:
        name = unicodedata.name(character, "")
        if name[-2:-1] == " " and any(shown in name for shown in _SHOWS_A_LETTER):
            return name[-1].lower()
    plain = unicodedata.normalize("NFKD", character)
    if plain != character or unicodedata.combining(character):
        plain = "".join([c for c in plain if not unicodedata.combining(c)])
    return plain.lower().replace("œ", "oe").replace("æ", "ae")


def fold_word(word: str) -> str:
    """A word of a rule pack in the form that letters are folded to."""
    return "".join(_fold_character(character) for character in word).translate(_LOOKALIKES)


def plain_letters(word: str) -> str:
    """`word` with the letters that its look-alikes stand for, if most of it is Latin, and nothing without width."""
    if word.isascii():
        return word
    if _is_latin(word):
        word = word.translate(_LOOKALIKES)
    return "".join(c for c in word if unicodedata.category(c) not in {"Cf", "Me"})


def _is_latin(text: str) -> bool:
    """Whether most of it is Latin, or two alphabets stand in one word, as in no honest one."""
    others = _CYRILLIC_OR_GREEK.findall(text)
    if not others:
        return _LATIN.search(text) is not None
    if len(_LATIN.findall(text)) > len(others):
        return True
    return _SIDE_BY_SIDE.search(text) is not None


def fold(text: str) -> tuple[str, Sequence[int]]:
    """`text` folded, and for each character of it the place in `text` that it came from."""
    if text.isascii():
        return text.lower(), range(len(text))
    table = {character: _fold_character(character) for character in set(text) if not character.isascii()}
    folded = text.translate(_LOWER | {ord(character): letters for character, letters in table.items()})
    places: Sequence[int] = range(len(text))
    odd = {character: len(letters) for character, letters in table.items() if len(letters) != 1}
    if odd:
        sizes = [odd.get(character, 1) for character in text]
        # Mostly accents that stand alone: gone, and nothing is written out.
        places = (
            list(compress(places, sizes))
            if max(odd.values()) == 0
            else [place for place, size in enumerate(sizes) for _ in range(size)]
        )
    return (folded.translate(_LOOKALIKES) if _is_latin(text) else folded), places


def tokens_of(text: str) -> list[Token]:
    """The words of `text`, with a barrier between sentences and at both ends."""
    folded, places = fold(text)
    found = [Token(BARRIER, 0, 0)]
    quoted = False
    row: dict[str, int] = {}
    for match in _WORD.finditer(folded):
        word = match[0]
        at, stop = match.span()
        start, end = places[at], places[stop - 1] + 1
        if word[0] in _NO_WORDS:
            first = word[0]
            if first in _STOPS:
                if found[-1].word != BARRIER:
                    found.append(Token(BARRIER, start, end))
                continue
            if first in _QUOTES:
                quoted = first in "“«„" or (first == '"' and not quoted)
                continue
            if word in PICTURES:  # not so "❶❷", a word
                if found[-1].word not in PICTURES:
                    row = {}
                row[word] = row.get(word, 0) + 1
                if row[word] > _MOST_ALIKE:
                    continue
        if at and folded[at - 1] == "'" and found[-1].end >= start - 1:
            word = _contraction(found, word)
        found.append(_token((word, start, end, quoted)))
        if len(found) > MOST_TOKENS:
            break
    if found[-1].word != BARRIER:
        found.append(Token(BARRIER, len(text), len(text)))
    return found


def _contraction(found: list[Token], word: str) -> str:
    """`word` after an apostrophe as a word of its own: "don't" is do not, "you're" is you are."""
    last = found[-1]
    if word == "t" and len(last.word) > 2 and last.word.endswith("n"):
        stem = {"won": "will", "can": "can"}.get(last.word, last.word[:-1])
        found[-1] = Token(stem, last.start, last.end, last.quoted)
        return "not"
    return _ENDINGS.get(word, word) if len(last.word) > 1 or last.word == "i" else word


def spelled_out(tokens: list[Token]) -> list[tuple[int, int]]:
    """The runs of three or more tokens of one letter each, as first and last index: "c o n n a r d"."""
    singles = [index for index, token in enumerate(tokens) if len(token.word) == 1 and token.word.isalnum()]
    if not any(other - one <= _DOTTED for one, other in pairwise(singles)):
        return []
    runs: list[tuple[int, int]] = []
    start: int | None = None
    for index, token in enumerate([*tokens, Token(BARRIER, 0, 0), Token("end", 0, 0)]):
        single = len(token.word) == 1 and token.word.isalnum()
        # "f.u.c.k" has barriers between its letters.
        dotted = (
            token.word == BARRIER and start is not None and index + 1 < len(tokens) and len(tokens[index + 1].word) == 1
        )
        if single and start is None:
            start = index
        elif not single and not dotted and start is not None:
            if index - start >= _SINGLES:
                runs.append((start, index - 1))
            start = None
    return runs
