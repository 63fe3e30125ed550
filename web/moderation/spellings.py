"""How people write words to hide them, or in haste: data, `config/moderation/disguises.toml`.

What stands for a word or for several, by language, as folded; signs that stand for a word, and initials of words that
are left out. Pure but for reading the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.data_files import data_file, read_data_file
from web.moderation.folding import fold

_FILE: Final = "moderation/disguises.toml"


@dataclass(frozen=True, slots=True)
class Spellings:
    """Spellings by language; words that are none of another word's disguises."""

    phrases: Mapping[str, Mapping[str, str]]
    signs: Mapping[str, Mapping[str, str]]
    initials: Mapping[str, Sequence[str]]
    small: Mapping[str, frozenset[str]]
    """Words that tell the language of a letter."""
    before_signs: frozenset[str]
    """Words behind which a sign stands for a word."""
    plain: frozenset[str]
    """Words that look like a disguise and are none."""
    grave: frozenset[str]
    """Words that are hidden, beside those of the rules."""
    all_phrases: Mapping[str, str] = field(init=False)
    openings: frozenset[str] = field(init=False)
    """First words of phrases: most words of a letter are none."""
    all_signs: frozenset[str] = field(init=False)
    every_small: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Work out what follows."""
        object.__setattr__(self, "every_small", frozenset().union(*self.small.values()))
        object.__setattr__(self, "all_signs", frozenset().union(*self.signs.values()))
        phrases = {key: put for some in self.phrases.values() for key, put in some.items()}
        object.__setattr__(self, "all_phrases", phrases)
        object.__setattr__(self, "openings", frozenset(phrase.partition(" ")[0] for phrase in phrases))

    def language(self, words: Sequence[str]) -> str:
        """English or French, as far as small words tell."""
        counts = {language: sum(map(small.__contains__, words)) for language, small in self.small.items()}
        return max(counts, key=counts.__getitem__)


def load_spellings() -> Spellings:
    """The spellings that come along."""
    tables = tomllib.loads(read_data_file(data_file(_FILE)))
    return Spellings(
        phrases={language: _folded(some) for language, some in tables["word"].items()},
        signs={
            language: {sign: put for signs, put in some.items() for sign in signs}
            for language, some in tables["sign"].items()
        },
        initials={language: some.split() for language, some in tables["initial"].items()},
        small={language: frozenset(some.split()) for language, some in tables["small"].items()},
        before_signs=frozenset(tables["before"]["signs"].split()),
        plain=frozenset(tables["plain"]["words"].split()),
        grave=frozenset(tables["grave"]["words"].split()),
    )


def _folded(table: Mapping[str, str]) -> dict[str, str]:
    return {fold(key)[0]: put for key, put in table.items()}
