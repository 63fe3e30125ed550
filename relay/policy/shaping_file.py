"""`config/providers.toml` read and checked: the rules of named providers.

A file beside `relay.toml` replaces the one that came with the program, whole. One that is wrong is refused with line,
rule, key and what is allowed, all complaints at once. Patterns are matched against what strangers say, so only such are
allowed whose time grows with the length of a reply and no faster than its square.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from relay.data_files import TableLines, data_file, read_data_file
from relay.errors import ConfigurationError
from relay.policy.shaping import Action, ReplyRule, ShapingBook, ShapingRule
from relay.policy.warm_up import WarmUpRules
from relay.units import parse_duration

FILE: Final = "providers.toml"

LIMITS: Final = {
    "connections": "connections",
    "messages_per_connection": "messages_per_connection",
    "connects_per_minute": "connects",
    "messages_per_minute": "messages",
}
"""Keys of the file, and the limit that each sets."""

SHARES: Final = ("deferred", "bounced", "complained")
"""Keys of [warm_up]: the shares of letters that make a day bad."""

MOST_A_DAY: Final = 10_000_000
MOST_DAYS: Final = 100

_RULE_KEYS: Final = frozenset({"name", "mx", "domains", "reply", "warm_up", *LIMITS})

_REPLY_KEYS: Final = frozenset(
    {"id", "regex", "count", "within", "action", "for", "connections", "messages_per_minute", "alarm"}
)
_MOST_PATTERN: Final = 200
_REPEATED_GROUP: Final = re.compile(r"\)\s*[*+{]|\(\?[=!<P(]|\\[1-9]")
_UNBOUNDED: Final = re.compile(r"(?<!\\)[*+]|\{\d*,\}")


def load_shaping(folder: Path | None = None) -> ShapingBook:
    """The rules in `folder`, or those that came with the program. Raises ConfigurationError."""
    place = data_file(FILE, folder / FILE if folder is not None else None)
    return parse_shaping(read_data_file(place), str(place))


def parse_shaping(text: str, source: str = FILE) -> ShapingBook:
    """The rules in a TOML text. Raises ConfigurationError with a line a complaint: "FILE:LINE: …"."""
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source}: {error}") from None
    return _Reading(source, TableLines(text)).book(given)


class _Reading:
    """One reading; `_complaints` collects what is wrong."""

    def __init__(self, source: str, lines: TableLines) -> None:
        self._source = source
        self._lines = lines
        self._complaints: list[str] = []
        self._replies = 0

    def book(self, given: Mapping[str, Any]) -> ShapingBook:
        entries = given.get("provider", [])
        warming = given.get("warm_up", {})
        if set(given) - {"provider", "warm_up"} or not isinstance(entries, list) or not isinstance(warming, dict):
            raise ConfigurationError(f"{self._source}:1: write [warm_up], [[provider]] sections and nothing else")
        rules = tuple(self._rule(number, entry) for number, entry in enumerate(entries, 1))
        names = [rule.name for rule in rules]
        for number, name in enumerate(names, 1):
            if name in names[: number - 1]:
                self._complain("provider", number, "name", f"{name!r} occurs twice")
        warm_up = self._warm_up(warming)
        if self._complaints:
            raise ConfigurationError("\n".join(self._complaints))
        return ShapingBook(rules, warm_up=warm_up)

    def _warm_up(self, entry: Mapping[str, Any]) -> WarmUpRules:
        """The schedule of young sources: the program's own where the file says nothing."""
        where, rules = ("warm_up", 1), WarmUpRules()
        self._unknown(where, entry, frozenset({"ceilings", "enough", *SHARES}))
        shares: dict[str, float] = {}
        for key in SHARES:
            value = entry.get(key, getattr(rules, key))
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
                self._complain(*where, key, "write a share above 0 and below 1, like 0.05")
                continue
            shares[key] = float(value)
        enough = self._number(where, entry, "enough")
        ceilings = self._ceilings(where, entry, "ceilings") or rules.ceilings
        return replace(rules, ceilings=ceilings, enough=rules.enough if enough is None else int(enough), **shares)

    def _ceilings(self, where: tuple[str, int], entry: Mapping[str, Any], key: str) -> tuple[int, ...]:
        value = entry.get(key, [])
        whole = isinstance(value, list) and all(type(one) is int and 0 < one <= MOST_A_DAY for one in value)
        if not whole or (key in entry and not value) or sorted(set(value)) != value or len(value) > MOST_DAYS:
            self._complain(*where, key, "write letters a day, each more than the one before, like [50, 100, 200]")
            return ()
        return tuple(value)

    def _complain(self, table: str, number: int, key: str, what: str) -> None:
        line = self._lines.line(table, number, key)
        self._complaints.append(f"{self._source}:{line}: {table}{': ' + key if key else ''}: {what}")

    def _rule(self, number: int, entry: Mapping[str, Any]) -> ShapingRule:
        where = ("provider", number)
        self._unknown(where, entry, _RULE_KEYS)
        name = self._text(where, entry, "name")
        mx = self._names(where, entry, "mx")
        domains = self._names(where, entry, "domains")
        if not mx and not domains:
            self._complain(*where, "", "write mx, domains or both: whom it means")
        limits = {
            limit: value for key, limit in LIMITS.items() if (value := self._number(where, entry, key)) is not None
        }
        replies = tuple(self._reply(reply) for reply in entry.get("reply", ()))
        ends = tuple(one if one.startswith(".") else f".{one}" for one in mx)
        ceilings = self._ceilings(where, entry, "warm_up")
        return ShapingRule(name, ends, frozenset(domains), limits, replies, ceilings)

    def _reply(self, entry: Mapping[str, Any]) -> ReplyRule:
        self._replies += 1
        where = ("provider.reply", self._replies)
        self._unknown(where, entry, _REPLY_KEYS)
        try:
            action = Action(str(entry.get("action")))
        except ValueError:
            self._complain(*where, "action", f"write one of {', '.join(Action)}")
            action = Action.ALARM
        connections = self._number(where, entry, "connections")
        messages = self._number(where, entry, "messages_per_minute")
        if action is Action.SLOW and connections is None and messages is None:
            self._complain(*where, "action", "slow needs connections, messages_per_minute or both")
        return ReplyRule(
            self._text(where, entry, "id"),
            self._pattern(where, entry),
            action,
            int(self._number(where, entry, "count") or 1),
            self._duration(where, entry, "within"),
            self._duration(where, entry, "for"),
            None if connections is None else int(connections),
            messages,
            bool(entry.get("alarm", action is Action.ALARM)),
        )

    def _unknown(self, where: tuple[str, int], entry: Mapping[str, Any], allowed: frozenset[str]) -> None:
        for key in entry:
            if key not in allowed:
                self._complain(*where, key, f"unknown key; allowed here: {', '.join(sorted(allowed))}")

    def _text(self, where: tuple[str, int], entry: Mapping[str, Any], key: str) -> str:
        value = entry.get(key)
        if not isinstance(value, str) or not value:
            self._complain(*where, key, "write a short name in quotes")
            return f"{where[0]} {where[1]}"
        return value

    def _names(self, where: tuple[str, int], entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
        value = entry.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            self._complain(*where, key, 'write a list of names, like [".mx.example"]')
            return ()
        return tuple(one.lower().rstrip(".") for one in value)

    def _number(self, where: tuple[str, int], entry: Mapping[str, Any], key: str) -> float | None:
        value = entry.get(key)
        if value is None:
            return None
        whole = key in ("connections", "messages_per_connection", "count", "enough")
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not 0 < value <= 1e6:
            self._complain(*where, key, f"write a {'whole ' if whole else ''}number above 0")
            return None
        return value

    def _duration(self, where: tuple[str, int], entry: Mapping[str, Any], key: str) -> timedelta:
        value = entry.get(key, "1h")
        try:
            return parse_duration(value)
        except (ValueError, TypeError, AttributeError):
            self._complain(*where, key, 'write a duration like "30m"')
            return timedelta(hours=1)

    def _pattern(self, where: tuple[str, int], entry: Mapping[str, Any]) -> re.Pattern[str]:
        text = entry.get("regex")
        compiled: Callable[[str], re.Pattern[str]] = lambda given: re.compile(given, re.IGNORECASE | re.ASCII)  # noqa: E731
        if not isinstance(text, str) or not text:
            self._complain(*where, "regex", "write a regular expression in single quotes")
            return compiled("(?!)")
        if obstacle := obstacle_of(text):
            self._complain(*where, "regex", obstacle)
            return compiled("(?!)")
        return compiled(text)


def obstacle_of(pattern: str) -> str:
    """Why a pattern is not allowed; "" if it is."""
    if len(pattern) > _MOST_PATTERN:
        return f"longer than {_MOST_PATTERN} characters"
    if _REPEATED_GROUP.search(pattern):
        return "no repeated groups, look-around or back-references: their time may explode"
    if len(_UNBOUNDED.findall(re.sub(r"\[[^\]]*\]", "x", pattern))) > 2:
        return "at most two of * and +: more take too long on a hostile reply"
    try:
        re.compile(pattern)
    except re.error as error:
        return f"not a regular expression: {error}"
    return ""
