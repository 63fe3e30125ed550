"""What moderation says to people, in one language: each rule, each step of the ladder, and who helps at once.

Read from the rule packs (`[rule.…]`, `[step.…]`, `[[help]]`), so that an operator's file changes them with the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from web.moderation.ruling import Rule, Step

Complain = Callable[[str, int, str, str], None]
"""Table, its number, key and what is wrong."""

_TABLES: Final = ("rule", "step", "help")
_SPOKEN: Final = (Step.NUDGE, Step.HOLD, Step.CARE, Step.REFUSE)


@dataclass(frozen=True, slots=True)
class RuleText:
    """A don't: its title and text, what a nudge asks, and the law it stands on ("" where none does)."""

    title: str
    text: str
    nudge: str
    law: str


@dataclass(frozen=True, slots=True)
class StepText:
    """What the writer reads when a letter gets this far on the ladder."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class HelpLine:
    """Who helps somebody in a crisis: a number to call, and when somebody answers."""

    name: str
    number: str
    text: str
    link: str

    @property
    def told(self) -> str:
        """Name and number in one line, the number once."""
        return f"{self.name}." if self.number in self.name else f"{self.name}, {self.number}."


@dataclass(frozen=True, slots=True)
class Wording:
    """Everything that moderation says in one language."""

    rules: Mapping[Rule, RuleText]
    steps: Mapping[Step, StepText]
    helps: tuple[HelpLine, ...]
    """Never empty; the first is the line for somebody who might end their life."""


def read_wording(tables: Mapping[str, Any], complain: Complain, typeset: Callable[[str], str] = str) -> Wording:
    """The wording of a pack, `typeset`; `complain` is told of each thing that is missing or has another form."""
    spoken = {table: _typeset(tables[table], typeset) for table in _TABLES if table in tables}
    return _read(spoken, complain)


def _typeset(given: Any, typeset: Callable[[str], str]) -> Any:
    """Every text of a table or of a list of tables."""
    match given:
        case str():
            return typeset(given)
        case dict():
            return {key: _typeset(value, typeset) for key, value in given.items()}
        case list():
            return [_typeset(value, typeset) for value in given]
        case _:
            return given


def _read(tables: Mapping[str, Any], complain: Complain) -> Wording:
    return Wording(
        {rule: RuleText(**texts) for rule, texts in _named(tables, "rule", tuple(Rule), complain).items()},
        {step: StepText(**texts) for step, texts in _named(tables, "step", _SPOKEN, complain).items()},
        tuple(_helps(tables.get("help", []), complain)),
    )


def _named(
    tables: Mapping[str, Any], table: str, names: tuple[Any, ...], complain: Complain
) -> dict[Any, dict[str, str]]:
    given = tables.get(table, {})
    keys = ("title", "text", "nudge", "law") if table == "rule" else ("title", "text")
    found: dict[Any, dict[str, str]] = {}
    if not isinstance(given, dict):
        complain(table, 1, "", f"must be tables [{table}.NAME]")
        return found
    for name in given.keys() - set(names):
        complain(f"{table}.{name}", 1, "", f"is no {table}; there are {', '.join(names)}")
    for name in names:
        if name not in given:
            complain(table, 1, "", f"[{table}.{name}] is missing")
        elif (texts := _texts(given[name], keys)) is None:
            complain(f"{table}.{name}", 1, "", f"needs the texts {', '.join(keys)}, and nothing else")
        else:
            found[name] = texts
    return found


def _helps(given: Any, complain: Complain) -> list[HelpLine]:
    keys = ("name", "number", "text", "link")
    helps: list[HelpLine] = []
    if not isinstance(given, list) or not given:
        complain("help", 1, "", "write at least one [[help]]: who speaks of harming themselves is shown it")
        return helps
    for number, entry in enumerate(given, start=1):
        texts = _texts(entry, keys)
        if texts is None:
            complain("help", number, "", f"needs the texts {', '.join(keys)}, and nothing else")
        else:
            helps.append(HelpLine(**texts))
    return helps


def _texts(given: Any, keys: tuple[str, ...]) -> dict[str, str] | None:
    """`given` if it is a table of exactly these texts."""
    if not isinstance(given, dict) or given.keys() != set(keys):
        return None
    return given if all(isinstance(value, str) for value in given.values()) else None
