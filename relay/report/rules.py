"""The rules that say what a refusal means: `config/bounces.toml` read and checked.

Under the classifier. Rules are data, so that an operator can add one for the reply seen last night; a file that
is wrong is refused with the rule's id and what is allowed, never half used. Phrases are plain text and regular
expressions must not repeat a repetition, so matching is linear in the text whoever writes it (S29).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, assert_never

from relay.data_files import TableLines, data_file, read_data_file
from relay.errors import ConfigurationError
from relay.report.phrases import LEAST_PIECE, Phrase

FILE: Final = "bounces.toml"
SCOPES: Final = frozenset({"recipient", "message", "host", "site", "source"})
_KEYS: Final = frozenset(
    {"id", "provider", "reason", "code", "enhanced", "phrases", "regex", "scope", "permanent", "weak", "example"}
)
_ENHANCED = re.compile(r"[45x]\.\d{1,3}\.(?:\d{1,4}|\*)")
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_NESTED = re.compile(r"[+*}]\??[^()]*\)[+*{]")
_BACKWARD = re.compile(r"\\[1-9]|\(\?P=")


class Permanence(Enum):
    """What a rule says about trying again; a 4xx code is never permanent, whatever the rule."""

    NEVER = False
    """It may pass, even where they said 5xx."""
    BY_CODE = "by code"
    """As the code says; without a code it may pass."""
    UNLESS_4XX = True
    """In vain, even where no code is given."""

    def holds(self, severity: int) -> bool:
        """Whether it is permanent when the code's class is `severity`, 0 without a code."""
        match self:
            case Permanence.NEVER:
                return False
            case Permanence.BY_CODE:
                return severity == 5
            case Permanence.UNLESS_4XX:
                return severity in (0, 5)
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Reason:
    """One word for why, with what is true of it unless a rule says otherwise."""

    name: str
    about: str
    scope: str
    permanent: Permanence


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[rule]]`; empty conditions are not asked."""

    id: str
    reason: str
    scope: str
    permanent: Permanence
    example: str
    provider: str = ""
    codes: frozenset[int] = frozenset()
    enhanced: tuple[str, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    regex: re.Pattern[str] | None = None
    weak: bool = False
    """Its words say so little that they count only beside a code."""

    def fits(self, code: int | None, enhanced: str, text: str, provider: str) -> bool:
        """Whether every condition but the phrases holds; `text` is folded."""
        if self.provider and provider != self.provider:
            return False
        if self.weak and code is None and not enhanced:
            return False
        if self.codes and code not in self.codes:
            return False
        if self.enhanced and not any(fits_enhanced(wanted, enhanced) for wanted in self.enhanced):
            return False
        return self.regex is None or self.regex.search(text) is not None


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All rules in their order, the reasons, and who owns which host names."""

    rules: tuple[Rule, ...]
    reasons: Mapping[str, Reason]
    providers: Mapping[str, str]
    """Domain suffix → provider."""

    def provider_of(self, name: str) -> str:
        """The provider a host name or domain belongs to, or ""."""
        labels = name.lower().rstrip(".").split(".")[-6:]
        for start in range(len(labels) - 1):
            found = self.providers.get(".".join(labels[start:]))
            if found:
                return found
        return ""


def fits_enhanced(wanted: str, enhanced: str) -> bool:
    """Whether the code "4.7.28" is one that `wanted` ("x.7.28", "4.7.*") names."""
    if not enhanced:
        return False
    tail = enhanced[1:]
    if wanted[0] != "x" and wanted[0] != enhanced[0]:
        return False
    return tail.startswith(wanted[1:-1]) if wanted.endswith("*") else tail == wanted[1:]


def parse_rules(text: str, source: str = FILE) -> RuleBook:
    """The rules in a TOML text. Raises ConfigurationError that names the rule, what is wrong and what is allowed."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    unknown = set(given) - {"reason", "providers", "rule"}
    if unknown:
        raise ConfigurationError(f"{source}: unknown key {min(unknown)!r}; allowed: reason, providers, rule")
    reasons = {name: _reason(name, entry, source) for name, entry in given.get("reason", {}).items()}
    providers = {suffix.lower(): name for name, suffixes in given.get("providers", {}).items() for suffix in suffixes}
    rules: list[Rule] = []
    seen: set[str] = set()
    lines = TableLines(text)
    for number, entry in enumerate(given.get("rule", []), 1):
        rule = _rule(entry, reasons, frozenset(providers.values()), _where(source, lines, number, entry))
        if rule.id in seen:
            raise ConfigurationError(f"{source}: rule {rule.id!r} occurs twice; ids are unique")
        seen.add(rule.id)
        rules.append(rule)
    return RuleBook(tuple(rules), reasons, providers)


def _where(source: str, lines: TableLines, number: int, entry: Mapping[str, Any]) -> str:
    return f"{source}:{lines.line('rule', number)}: rule {entry.get('id', number)!r}"


def _reason(name: str, entry: Any, source: str) -> Reason:
    where = f"{source}: reason {name!r}"
    if not isinstance(entry, dict) or set(entry) != {"about", "scope", "permanent"}:
        raise ConfigurationError(f"{where}: needs exactly about, scope and permanent")
    return Reason(name, str(entry["about"]), read_scope(entry["scope"], where), _permanence(entry["permanent"], where))


def read_scope(given: Any, where: str) -> str:
    """A scope of outcomes. Raises ConfigurationError."""
    if given not in SCOPES:
        raise ConfigurationError(f"{where}: scope is one of {', '.join(sorted(SCOPES))}")
    return str(given)


def _permanence(given: Any, where: str) -> Permanence:
    if isinstance(given, bool) or given == Permanence.BY_CODE.value:
        return Permanence(given)
    raise ConfigurationError(f'{where}: permanent is true, false or "{Permanence.BY_CODE.value}"')


def _rule(entry: dict[str, Any], reasons: Mapping[str, Reason], providers: frozenset[str], where: str) -> Rule:
    unknown = set(entry) - _KEYS
    if unknown:
        raise ConfigurationError(f"{where}: unknown key {min(unknown)!r}; allowed: {', '.join(sorted(_KEYS))}")
    for key in ("id", "reason", "example"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise ConfigurationError(f"{where}: {key} is missing")
    if not _ID.fullmatch(entry["id"]):
        raise ConfigurationError(f"{where}: an id is lower-case words joined by hyphens")
    reason = reasons.get(entry["reason"])
    if reason is None:
        raise ConfigurationError(f"{where}: unknown reason {entry['reason']!r}; allowed: {', '.join(sorted(reasons))}")
    provider = entry.get("provider", "")
    if provider and provider not in providers:
        raise ConfigurationError(f"{where}: provider {provider!r} is not in [providers]")
    rule = Rule(
        id=entry["id"],
        reason=reason.name,
        scope=read_scope(entry["scope"], where) if "scope" in entry else reason.scope,
        permanent=_permanence(entry["permanent"], where) if "permanent" in entry else reason.permanent,
        example=entry["example"],
        provider=provider,
        codes=read_codes(entry.get("code", []), where),
        enhanced=read_enhanced(entry.get("enhanced", []), where),
        phrases=read_phrases(entry.get("phrases", []), where),
        regex=read_regex(entry.get("regex", ""), where),
        weak=entry.get("weak", False) is True,
    )
    if not (rule.codes or rule.enhanced or rule.phrases or rule.regex):
        raise ConfigurationError(f"{where}: needs a condition: code, enhanced, phrases or regex")
    return rule


def read_codes(given: Any, where: str) -> frozenset[int]:
    """Reply codes. Raises ConfigurationError."""
    if not isinstance(given, list) or not all(isinstance(code, int) and 400 <= code <= 599 for code in given):
        raise ConfigurationError(f"{where}: code is a list of numbers from 400 to 599")
    return frozenset(given)


def read_enhanced(given: Any, where: str) -> tuple[str, ...]:
    """Enhanced codes, for `fits_enhanced`. Raises ConfigurationError."""
    if not isinstance(given, list) or not all(isinstance(one, str) and _ENHANCED.fullmatch(one) for one in given):
        raise ConfigurationError(f'{where}: enhanced is a list of codes such as "5.1.1", "x.1.1" or "x.7.*"')
    return tuple(given)


def read_phrases(given: Any, where: str) -> tuple[Phrase, ...]:
    """Phrases, cut at their gaps. Raises ConfigurationError."""
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ConfigurationError(f"{where}: phrases is a list of texts")
    found = [tuple(phrase.split("...")) for phrase in given]
    if any(len(piece) < LEAST_PIECE or piece != piece.lower() for phrase in found for piece in phrase):
        raise ConfigurationError(
            f"{where}: a phrase is lower case and at least {LEAST_PIECE} characters, on each side of a '...' too"
        )
    return tuple(found)


def read_regex(given: Any, where: str) -> re.Pattern[str] | None:
    """A regular expression that is linear in what it searches (S29); "" is none. Raises ConfigurationError."""
    if given == "":
        return None
    if not isinstance(given, str) or len(given) > 500 or _NESTED.search(given) or _BACKWARD.search(given):
        raise ConfigurationError(f"{where}: a regex has at most 500 characters, no repeated repetition, no reference")
    if given.count("+") + given.count("*") > 3:
        raise ConfigurationError(f"{where}: a regex has at most three unbounded repetitions; use {{0,40}} instead")
    try:
        return re.compile(given)
    except re.error as error:
        raise ConfigurationError(f"{where}: the regex is wrong: {error}") from None


def rules_file(path: Path | None = None) -> Path:
    """The file to read: `path` if it exists, else the one in the wheel, else the repository's."""
    return data_file(FILE, path)


@lru_cache(maxsize=8)
def _load(place: Path, changed: int) -> RuleBook:
    del changed  # part of the key: a file that was edited is read again
    return parse_rules(read_data_file(place), str(place))


def load_rules(path: Path | None = None) -> RuleBook:
    """The rules of `path`, or the ones that came with the program. Raises ConfigurationError."""
    place = rules_file(path)
    return _load(place, place.stat().st_mtime_ns)
