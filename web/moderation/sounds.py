"""How a word sounds, about: words that are spelled as they are spoken have the key of the word that is meant.

Beside the reading of a letter. Coarse on purpose: the key is looked up among the words of the rules alone. Linear.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_LONGEST: Final = 24
_VOWELS: Final = "aeiouy"
_FRENCH: Final = (
    (re.compile(r"(.)\1+"), r"\1"),
    (re.compile("ph"), "f"),
    (re.compile("qu|q|c(?![eiyh])|ck"), "k"),
    (re.compile("c(?=[eiy])|ç"), "s"),
    (re.compile("gu(?=[eiy])"), "g"),
    (re.compile("(?<![gcs])h"), ""),
    (re.compile("eau|au"), "o"),
    (re.compile("ain|ein|un|aim|im(?=[pb])"), "in"),
    (re.compile("en|em(?=[pb])|am(?=[pb])"), "an"),
    (re.compile("(?:er|ez|ée|es|ais|ait|ai|et|é|è|ê|e|ent)s?$"), "e"),
    (re.compile("ai|ei|é|è|ê|ë"), "e"),
    (re.compile("(?<=[^e])[sxtd]+$"), ""),
    (re.compile("oi"), "wa"),
    (re.compile("[zs]+"), "s"),
    (re.compile("y"), "i"),
    (re.compile("(?<=.)e$"), ""),
    (re.compile(r"(.)\1+"), r"\1"),
)
_ENGLISH: Final = (
    (re.compile("ph"), "f"),
    (re.compile("^kn"), "n"),
    (re.compile("^wh"), "w"),
    (re.compile("tch"), "ch"),
    (re.compile("ck|c(?![eiyh])|q"), "k"),
    (re.compile("c(?=[eiy])"), "s"),
    (re.compile("z"), "s"),
    (re.compile("ght?"), "t"),
    (re.compile(r"(.)\1+"), r"\1"),
    (re.compile(f"[{_VOWELS}]+r?$"), ""),
    (re.compile(f"[eoau]r(?![{_VOWELS}])"), "a"),
    (re.compile(f"[{_VOWELS}]+"), "a"),
)


def french_sound(word: str) -> str:
    """The key of a lower-case French word."""
    return _key(word, _FRENCH)


def english_sound(word: str) -> str:
    """The key of a lower-case English word."""
    return _key(word, _ENGLISH)


def bare(word: str) -> str:
    """The first letter of a folded word and its consonants."""
    return word[:1] + "".join(letter for letter in word[1:_LONGEST] if letter not in _VOWELS)


def _key(word: str, rules: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    word = unicodedata.normalize("NFC", word[:_LONGEST])
    for pattern, put in rules:
        word = pattern.sub(put, word)
    return word
