"""The rule packs, `config/moderation/{en,fr}.toml`: read, checked, and compiled into one rulebook.

Both languages' rules are asked of every letter, since people mix them. A file beside the operator's `relay.toml`
overrides its namesake; whatever is wrong in one is a ConfigurationError that names file, line and key.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from relay.data_files import TableLines, data_file, read_data_file
from relay.errors import ConfigurationError
from web.catalogue import Language, french_spaces
from web.moderation.folding import BARRIER, fold_word
from web.moderation.lexicon import Lexicon
from web.moderation.pattern import Pattern, PatternError, bits_of, parse_pattern
from web.moderation.ruling import Rule, Step
from web.moderation.wording import Wording, read_wording

LANGUAGES: Final = ("en", "fr")
_TABLES: Final = frozenset({"rule", "step", "help", "class", "alias", "reading", "allow", "when", "worry"})
_WORRY: Final = frozenset({"patterns", "unless", "class"})
_READING: Final = frozenset({"negation", "grave", "plain", "common"})
_FLAGS: Final = ("always", "weighed", "firm")
_WHEN: Final = frozenset({"rule", "step", "patterns", *_FLAGS})
BARRIER_CLASS: Final = 0
_SMALL_WORD: Final = 100


@dataclass(frozen=True, slots=True)
class When:
    """Patterns, and what they mean where no allowance covers them."""

    rule: Rule
    step: Step
    patterns: tuple[Pattern, ...]
    always: bool
    """Whether no allowance takes it back."""
    weighed: bool = False
    """Whether the readings may lower it to a hold or a nudge, or not believe it at all."""
    firm: bool = False
    """Whether what is weighed is held at least."""


Asked = tuple[int, When | None, Pattern]
"""A pattern with its place in the order in which all are asked, and what it means; None for an allowance."""


@dataclass(slots=True)
class Rulebook:
    """Everything the packs say; built by `load_rulebook`, then only read."""

    lexicon: Lexicon = field(default_factory=Lexicon)
    aliases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    whens: list[When] = field(default_factory=list)
    allowances: list[Pattern] = field(default_factory=list)
    negations: set[int] = field(default_factory=set)
    common: set[str] = field(default_factory=set)
    said: set[int] = field(default_factory=set)
    """Classes of words that report what somebody said."""
    wording: dict[str, Wording] = field(default_factory=dict)
    """By language."""
    worry: Rulebook | None = None
    """How people worry about a reader, with a lexicon of its own: no rule reads a word otherwise because of it."""
    by_class: dict[int, list[Asked]] = field(default_factory=dict)
    """By the class of the rarest word that they need: patterns in their order."""
    _known: dict[frozenset[int], tuple[AbstractSet[int], int]] = field(default_factory=dict)
    """By the classes of a word, those that are in `by_class`, and all of them as bits.

    At most one for each mixture of classes in the packs.
    """
    _needed: int = 0
    """The classes that some pattern needs, as bits."""

    def seal(self) -> None:
        """Sort the patterns by the rarest word that they need: nearly all need one that a letter does not have."""
        every: list[tuple[When | None, Pattern]] = [(None, pattern) for pattern in self.allowances]
        every += [(when, pattern) for when in self.whens for pattern in when.patterns]
        frequency = self._frequency()
        for number, (when, pattern) in enumerate(every):
            needed = (one.number for one in pattern.elements if not one.gap and not one.optional)
            self._needed |= pattern.needed
            self.by_class.setdefault(min(needed, key=frequency.__getitem__), []).append((number, when, pattern))

    def asked_of(self, words: Iterable[frozenset[int]]) -> list[Asked]:
        """In their order, the patterns that need no word that is not among `words`, given by their classes.

        They are looked for by their rarest word, since nearly all others have that of no letter.
        """
        keys: set[int] = set()
        present = 0
        for classes in words:
            known = self._known.get(classes)
            if known is None:
                known = self._known[classes] = classes & self.by_class.keys(), bits_of(classes)
            keys |= known[0]
            present |= known[1]
        missing = self._needed & ~present
        return sorted(
            (one for key in keys for one in self.by_class[key] if not one[2].needed & missing), key=itemgetter(0)
        )

    def _frequency(self) -> Counter[int]:
        """By class, about how often a letter has a word of it: a small word counts as much as a hundred others."""
        frequency: Counter[int] = Counter({BARRIER_CLASS: 100 * _SMALL_WORD})
        for word, classes in (*self.lexicon.words.items(), *self.lexicon.stems.items()):
            for number in classes:
                frequency[number] += _SMALL_WORD if word in self.common else 1
        return frequency


def load_rulebook(folder: Path | None = None) -> Rulebook:
    """The rulebook of both packs, those in `folder`/moderation first. Raises ConfigurationError, a line a complaint."""
    worry = Rulebook()
    book = Rulebook(worry=worry)
    complaints: list[str] = []
    grave: set[int] = set()
    plain: set[str] = set()
    numbers = {BARRIER: BARRIER_CLASS}
    worry_numbers = dict(numbers)
    for one in (book, worry):
        one.lexicon.add(BARRIER, BARRIER_CLASS)
    for language in LANGUAGES:
        name = f"moderation/{language}.toml"
        place = data_file(name, folder / name if folder is not None else None)
        text = read_data_file(place)
        reader = _PackReader(language, text, str(place), book, numbers)
        tables = reader.read()
        beside = _PackReader(language, text, str(place), worry, worry_numbers)
        beside.read_worry(tables)
        complaints += [*reader.complaints, *beside.complaints]
        grave |= reader.grave
        plain |= reader.plain
    if complaints:
        raise ConfigurationError("\n".join(complaints))
    book.lexicon.seal(plain, frozenset(grave))
    worry.lexicon.seal((), frozenset())
    for one in (book, worry):
        one.seal()
    return book


class _PackReader:
    def __init__(self, language: str, text: str, place: str, book: Rulebook, numbers: dict[str, int]) -> None:
        self._language, self._text, self._place, self._book = language, text, place, book
        self._numbers = numbers
        self._lines = TableLines(text)
        self.complaints: list[str] = []
        self.grave: set[int] = set()
        self.plain: set[str] = set()

    def read(self) -> dict[str, Any]:
        """Put the pack's rules into the book; its tables."""
        try:
            tables = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            self.complaints.append(f"{self._place}: {error}")
            return {}
        for name in tables.keys() - _TABLES:
            self._complain(name, 1, "", f"is unknown; a pack has {', '.join(sorted(_TABLES))}")
        self._book.wording[self._language] = read_wording(
            tables, self._complain, french_spaces if self._language == Language.FR else str
        )
        self._classes(self._table(tables, "class"))
        self._aliases(self._table(tables, "alias"))
        self._reading(self._table(tables, "reading"))
        for number, entry in self._entries(tables, "allow"):
            self._book.allowances += self._patterns("allow", number, entry)
        for number, entry in self._entries(tables, "when"):
            self._when(number, entry)
        return tables

    def read_worry(self, tables: Mapping[str, Any]) -> None:
        """Put the table `worry`, if there is one, into the book; its class `not` is what a gap does not pass."""
        if "worry" not in tables:
            return
        table = self._table(tables, "worry")
        for key in table.keys() - _WORRY:
            self._complain("worry", 1, key, f"is unknown; there are {', '.join(sorted(_WORRY))}")
        self._classes(self._table(table, "class"), "worry.class")
        self._book.negations |= {n for n in [self._numbers.get(f"{self._language}:<not>")] if n is not None}
        self._book.allowances += self._patterns("worry", 1, {"unless": [], **table}, "unless")
        patterns = tuple(self._patterns("worry", 1, table))
        self._book.whens.append(When(Rule.SELF_HARM, Step.PASS, patterns, always=False))

    def _complain(self, table: str, number: int, key: str, text: str) -> None:
        line = self._lines.line(table, number, key)
        shown = f"[{table}] {key}".strip()
        self.complaints.append(f"{self._place}:{line}: {shown}: {text}")

    def _table(self, tables: Mapping[str, Any], name: str) -> dict[str, Any]:
        value = tables.get(name, {})
        if isinstance(value, dict):
            return value
        self._complain(name, 1, "", "must be a table")
        return {}

    def _entries(self, tables: Mapping[str, Any], name: str) -> Iterator[tuple[int, dict[str, Any]]]:
        value = tables.get(name, [])
        if not isinstance(value, list):
            self._complain(name, 1, "", f"must be written [[{name}]]")
            return
        for number, entry in enumerate(value, start=1):
            if isinstance(entry, dict):
                yield number, entry

    def _classes(self, table: Mapping[str, Any], name_of_table: str = "class") -> None:
        for name, words in table.items():
            if not isinstance(words, str) or not words.split():
                self._complain(name_of_table, 1, name, "write its words in one text, with spaces between them")
                continue
            number = self._numbers.setdefault(f"{self._language}:<{name}>", len(self._numbers))
            for word in words.split():
                self._book.lexicon.add(fold_word(word), number)
            if name == "said":
                self._book.said.add(number)

    def _aliases(self, table: Mapping[str, Any]) -> None:
        for short, long in table.items():
            if not isinstance(long, str) or not long.split():
                self._complain("alias", 1, short, "write the words it stands for")
                continue
            self._book.aliases.setdefault(fold_word(short), tuple(fold_word(word) for word in long.split()))

    def _reading(self, table: Mapping[str, Any]) -> None:
        for key, value in table.items():
            if key not in _READING or not isinstance(value, str):
                self._complain("reading", 1, key, f"is not one of the texts {', '.join(sorted(_READING))}")
                continue
            words = value.split()
            if key in {"negation", "grave"}:
                for name in words:
                    number = self._numbers.get(f"{self._language}:<{name}>")
                    if number is None:
                        self._complain("reading", 1, key, f"there is no class {name}")
                        continue
                    (self._book.negations if key == "negation" else self.grave).add(number)
            else:
                (self.plain if key == "plain" else self._book.common).update(fold_word(word) for word in words)

    def _when(self, number: int, entry: Mapping[str, Any]) -> None:
        for key in entry.keys() - _WHEN:
            self._complain("when", number, key, f"is unknown; there are {', '.join(sorted(_WHEN))}")
        rule, step = entry.get("rule"), entry.get("step")
        if rule not in set(Rule):
            self._complain("when", number, "rule", f"is none of {', '.join(Rule)}")
            return
        if step not in set(Step) - {Step.PASS}:
            self._complain("when", number, "step", "is none of nudge, hold, refuse, care")
            return
        for flag in _FLAGS:
            if not isinstance(entry.get(flag, False), bool):
                self._complain("when", number, flag, "is true or false")
                return
        patterns = tuple(self._patterns("when", number, entry))
        self._book.whens.append(When(Rule(rule), Step(step), patterns, *(bool(entry.get(flag)) for flag in _FLAGS)))

    def _patterns(self, table: str, number: int, entry: Mapping[str, Any], key: str = "patterns") -> Iterator[Pattern]:
        texts = entry.get(key)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            self._complain(table, number, key, "write a list of patterns")
            return
        for text in texts:
            try:
                yield parse_pattern(text, self._number_of)
            except PatternError as error:
                self._complain(table, number, key, f"{text!r} {error}")

    def _number_of(self, element: str) -> int:
        """The class of an element; words and mixtures of classes become a class of their own."""
        if element in {"^", "$"}:
            return BARRIER_CLASS
        parts = element.split("|")
        if len(parts) == 1 and element.startswith("<"):
            number = self._numbers.get(f"{self._language}:{element}")
            if number is None:
                raise PatternError(f"names the class {element}, which is not in this file")
            return number
        key = f"{self._language}:{element}"
        if key in self._numbers:
            return self._numbers[key]
        wholes = {self._number_of(part) for part in parts if part.startswith("<")}
        number = self._numbers.setdefault(key, len(self._numbers))
        lexicon = self._book.lexicon
        for part in parts:
            if part in {"^", "$"}:
                lexicon.add(BARRIER, number)
            elif not part.startswith("<"):
                if not part.rstrip("*"):
                    raise PatternError(f"has an empty word in {element}")
                lexicon.add(fold_word(part.rstrip("*")) + ("*" if part.endswith("*") else ""), number)
        if wholes:  # most elements are words alone: a look through thousands of others for each took seconds
            for table in (lexicon.words, lexicon.stems):
                for word, classes in table.items():
                    if classes & wholes:
                        table[word] = classes | {number}
        return number
