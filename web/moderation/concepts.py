"""What words speak of, whatever the language: `config/moderation/concepts.toml`.

The first reading sees a letter through these concepts, so that what it learned from French letters it finds in
English ones. Part of the weights: they are trained for one state of this file, and it is not the operator's to change.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from relay.data_files import data_file, read_data_file
from web.moderation.folding import BARRIER, fold_word
from web.moderation.lexicon import forms, sizes_of
from web.moderation.ruling import Rule

_FILE: Final = "moderation/concepts.toml"
FAMILIES_FILE: Final = "moderation/families.txt"
_STEM_SIZES: Final = range(2, 17)
_LONGEST_WORD: Final = 40

SENTENCE_END: Final = 0
"""The concept of what stands between two sentences."""


@dataclass(frozen=True, slots=True)
class Concepts:
    """Concepts by number, the words and stems that speak of them, and which of them bear a rule out."""

    names: tuple[str, ...]
    words: Mapping[str, tuple[int, ...]]
    stems: Mapping[str, tuple[int, ...]]
    evidence: Mapping[Rule, tuple[tuple[frozenset[int], ...], ...]]
    """By rule, sets of concepts: a letter bears the rule out when it has one concept of each set of a line."""
    families: Mapping[str, int] = field(default_factory=dict)
    """Words that keep the same company, by machine: the number of each word's family."""
    _stem_sizes: Mapping[str, Sequence[int]] = field(init=False)

    def __post_init__(self) -> None:
        """Work out what follows from the stems."""
        object.__setattr__(self, "_stem_sizes", sizes_of(self.stems, _STEM_SIZES))

    def of(self, word: str) -> tuple[int, ...]:
        """The concepts of a folded word, in their order; what is a number or has a disguise is looked through."""
        if word == BARRIER:
            return (SENTENCE_END,)
        for form in forms(word[:_LONGEST_WORD]):
            found = list(self.words.get(form, ()))
            for size in self._stem_sizes.get(form[: _STEM_SIZES.start], ()):
                found += self.stems.get(form[:size], ())
            if found:
                return tuple(sorted(set(found)))
        return ()

    def bears_out(self, rule: Rule, present: set[int]) -> bool:
        """Whether the concepts of a letter are what `rule` is about."""
        return any(all(present & some for some in line) for line in self.evidence.get(rule, ()))


def load_concepts() -> Concepts:
    """The concepts that come along."""
    tables = tomllib.loads(read_data_file(data_file(_FILE)))
    names = (".", *tables["concept"])
    words: dict[str, set[int]] = {}
    stems: dict[str, set[int]] = {}
    for number, name in enumerate(names[1:], start=1):
        for word in tables["concept"][name].split():
            into, key = (stems, word[:-1]) if word.endswith("*") else (words, word)
            into.setdefault(fold_word(key), set()).add(number)
    numbers = {name: number for number, name in enumerate(names)}
    evidence = {
        Rule(rule): tuple(
            tuple(frozenset(numbers[name] for name in some.split("|")) for some in line.split()) for line in lines
        )
        for rule, lines in tables["evidence"].items()
    }
    return Concepts(names, _settled(words), _settled(stems), evidence, _families())


def _families() -> dict[str, int]:
    lines = read_data_file(data_file(FAMILIES_FILE)).splitlines()
    return {word: number for number, line in enumerate(lines, start=1) for word in line.split()}


def _settled(table: dict[str, set[int]]) -> dict[str, tuple[int, ...]]:
    return {word: tuple(sorted(numbers)) for word, numbers in table.items()}
