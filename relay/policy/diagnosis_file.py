"""`config/diagnosis.toml` read and checked: what is done about each meaning, and the rules that come first.

Under the diagnoser. A file beside `relay.toml` replaces the one that came with the program, whole; one that is
wrong is refused with line, rule, key and what is allowed, all complaints at once, and never half used.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from relay.data_files import TableLines, data_file, read_data_file
from relay.errors import ConfigurationError
from relay.policy.diagnosis import OWN, Diagnoser, DiagnosisBook, DiagnosisRule, Policy
from relay.policy.outcome import Course, Phase, Scope
from relay.report import rules as words
from relay.report.classifier import UNCLASSIFIED, Classifier
from relay.report.rules import Permanence, Rule, RuleBook
from relay.units import parse_duration

FILE: Final = "diagnosis.toml"

ABOUT_US: Final = frozenset(
    {"authentication", "blocklisted", "policy", "rate-limit", "reputation", "reverse-dns", "sender-rejected"}
)
"""Meanings that may never speak against an address (P05, G13); a rate limit alone may be a mailbox's own."""

_POLICY_KEYS: Final = frozenset({"verdict", "scope", "rest", "patience"})
_CONDITIONS: Final = frozenset({"phase", "taken_by", "code", "enhanced", "phrases", "regex"})
_RULE_KEYS: Final = _POLICY_KEYS | _CONDITIONS | {"id", "meaning", "provider", "example"}
_ID: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

_Word = TypeVar("_Word", bound=StrEnum)
_Value = TypeVar("_Value")


def load_diagnoser(folder: Path | None = None) -> Diagnoser:
    """The diagnoser of the files in `folder`, or of those that came with the program. Raises ConfigurationError."""
    place = data_file(FILE, folder / FILE if folder is not None else None)
    bounces = words.load_rules(folder / words.FILE if folder is not None else None)
    return Diagnoser(parse_diagnosis(read_data_file(place), bounces, str(place)), Classifier(bounces))


def parse_diagnosis(text: str, bounces: RuleBook, source: str = FILE) -> DiagnosisBook:
    """The rules in a TOML text. Raises ConfigurationError with a line a complaint: "FILE:LINE: …"."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    return _Reading(source, TableLines(text), bounces).book(given)


class _Reading:
    """One reading; `_complaints` collects what is wrong, and what is wrong has its default meanwhile."""

    def __init__(self, source: str, lines: TableLines, bounces: RuleBook) -> None:
        self._source = source
        self._lines = lines
        self._providers = frozenset(bounces.providers.values()) | {OWN}
        self._reasons = frozenset(bounces.reasons) | {UNCLASSIFIED}
        self._complaints: list[str] = []

    def book(self, given: Mapping[str, Any]) -> DiagnosisBook:
        for name in sorted(set(given) - {"meaning", "rule"}):
            self._complain(_Place(name, 1, name), "", "unknown key; allowed here: meaning, rule")
        meanings, entries = given.get("meaning", {}), given.get("rule", [])
        if not isinstance(meanings, dict) or not isinstance(entries, list):
            raise ConfigurationError(f"{self._source}:1: write [meaning.NAME] and [[rule]]")
        policies = {name: self._meaning(name, entry) for name, entry in meanings.items()}
        if UNCLASSIFIED not in policies:
            self._complaints.append(f"{self._source}:1: [meaning.{UNCLASSIFIED}] is missing")
        found = [self._rule(number, entry) for number, entry in enumerate(entries, 1)]
        seen: set[str] = set()
        for number, rule in enumerate(found, 1):
            if rule.words.id in seen:
                self._complain(_Place("rule", number, f"rule {rule.words.id!r}"), "id", "occurs twice")
            seen.add(rule.words.id)
        if self._complaints:
            raise ConfigurationError("\n".join(self._complaints))
        return DiagnosisBook(tuple(found), policies)

    def _complain(self, place: _Place, key: str, what: str) -> None:
        line = self._lines.line(place.table, place.number, key)
        self._complaints.append(f"{self._source}:{line}: {place.name}: {key + ': ' if key else ''}{what}")

    def _meaning(self, name: str, entry: Any) -> Policy:
        place = _Place(f"meaning.{name}", 1, f"meaning.{name}")
        if name not in self._reasons:
            self._complain(place, "", f"unknown meaning; bounces.toml has {', '.join(sorted(self._reasons))}")
        if not isinstance(entry, dict):
            self._complain(place, "", "this is a table: write [meaning.NAME] and its keys below")
            return Policy(Course.AS_SAID)
        self._unknown(place, entry, _POLICY_KEYS)
        if "verdict" not in entry:
            self._complain(place, "", "verdict is missing")
        return self._policy(place, entry, name)

    def _unknown(self, place: _Place, entry: Mapping[str, Any], allowed: frozenset[str]) -> None:
        for key in entry:
            if key not in allowed:
                self._complain(place, key, f"unknown key; allowed here: {', '.join(sorted(allowed))}")

    def _policy(self, place: _Place, entry: Mapping[str, Any], meaning: str) -> Policy:
        scope = self._word(place, entry, "scope", Scope)
        verdict = self._word(place, entry, "verdict", Course) or Course.AS_SAID
        if scope is Scope.RECIPIENT and meaning in ABOUT_US and meaning != "rate-limit":
            self._complain(place, "scope", f"{meaning} is about us and never about a recipient")
        rest, patience = self._duration(place, entry, "rest"), self._duration(place, entry, "patience")
        if rest is not None and verdict is not Course.REST:
            self._complain(place, "rest", 'only verdict = "rest" has it')
        if patience is not None and verdict not in (Course.REST, Course.WAIT):
            self._complain(place, "patience", 'only verdict = "rest" and "wait" have it')
        return Policy(verdict, scope, rest, patience)

    def _word(self, place: _Place, entry: Mapping[str, Any], key: str, kind: type[_Word]) -> _Word | None:
        if key not in entry:
            return None
        try:
            return kind(entry[key])
        except ValueError:
            self._complain(place, key, f"write one of {', '.join(sorted(kind))}")
            return None

    def _duration(self, place: _Place, entry: Mapping[str, Any], key: str) -> timedelta | None:
        if key not in entry:
            return None
        try:
            return parse_duration(str(entry[key]))
        except ValueError as error:
            self._complain(place, key, str(error))
            return None

    def _rule(self, number: int, entry: Any) -> DiagnosisRule:
        given: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
        name = given.get("id")
        place = _Place("rule", number, f"rule {name if isinstance(name, str) else number!r}")
        self._unknown(place, given, _RULE_KEYS)
        for key in ("id", "example"):
            if not isinstance(given.get(key), str) or not given[key]:
                self._complain(place, key, "is missing")
        if isinstance(name, str) and not _ID.fullmatch(name):
            self._complain(place, "id", "an id is lower-case words joined by hyphens")
        if not _CONDITIONS & set(given):
            self._complain(place, "", f"needs a condition: {', '.join(sorted(_CONDITIONS))}")
        meaning, provider = given.get("meaning", ""), given.get("provider", "")
        if meaning and meaning not in self._reasons:
            self._complain(place, "meaning", f"write one of {', '.join(sorted(self._reasons))}")
        if provider and provider not in self._providers:
            self._complain(place, "provider", f"write one of {', '.join(sorted(self._providers))}")
        found = Rule(
            id=str(name),
            reason=str(meaning),
            scope="",
            permanent=Permanence.BY_CODE,
            example=str(given.get("example", "")),
            provider=str(provider),
            codes=self._condition(place, given, "code", words.read_codes) or frozenset(),
            enhanced=self._condition(place, given, "enhanced", words.read_enhanced) or (),
            phrases=self._condition(place, given, "phrases", words.read_phrases) or (),
            regex=self._condition(place, given, "regex", words.read_regex),
        )
        policy = self._policy(place, given, str(meaning))
        return DiagnosisRule(found, policy, self._phases(place, given), self._ids(place, given))

    def _condition(
        self, place: _Place, given: Mapping[str, Any], key: str, read: Callable[[Any, str], _Value]
    ) -> _Value | None:
        if key not in given:
            return None
        try:
            return read(given[key], f"{self._source}:{self._lines.line(place.table, place.number, key)}: {place.name}")
        except ConfigurationError as error:
            self._complaints.append(str(error))
            return None

    def _phases(self, place: _Place, given: Mapping[str, Any]) -> frozenset[Phase]:
        try:
            return frozenset(map(Phase, given.get("phase", [])))
        except (TypeError, ValueError):
            self._complain(place, "phase", f"write a list of {', '.join(sorted(Phase))}")
            return frozenset()

    def _ids(self, place: _Place, given: Mapping[str, Any]) -> frozenset[str]:
        ids = given.get("taken_by", [])
        if isinstance(ids, list) and all(isinstance(one, str) and _ID.fullmatch(one) for one in ids):
            return frozenset(ids)
        self._complain(place, "taken_by", "write a list of ids of rules in bounces.toml")
        return frozenset()


class _Place:
    """A table of the file, as complaints name it."""

    def __init__(self, table: str, number: int, name: str) -> None:
        self.table = table
        self.number = number
        self.name = name
