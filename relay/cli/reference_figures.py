"""The reference pages of metrics and log lines: `docs/reference/metrics.md` and `log.md`, called by `reference`.

Metrics come from their declarations, log lines from the calls in the sources: neither page can promise what is not
there. Pure but for reading the sources.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from prometheus_client.metrics import MetricWrapperBase

from relay import metrics
from relay.event import EventKind
from relay.spool.life import Ending

ROOT: Final = Path(__file__).resolve().parents[2]

_METRICS_HEAD: Final = """\
# Metrics

Written by `python -m relay.cli.reference` from `relay/metrics.py`; change the code, not this page.

`/metrics` answers on the port of `api.listen` or `web.listen`: to this machine without a key, to others with an API
key. With several workers the figures are their sum. How to use them: [monitoring.md](../monitoring.md).

| metric | type | meaning | labels |
|---|---|---|---|
"""

_LABELS_HEAD: Final = """
Labels are bounded, and none is written by strangers:

| label | values |
|---|---|
"""

_LOG_HEAD: Final = """\
# Log lines

Written by `python -m relay.cli.reference` from the calls in the sources; change the code, not this page.

One JSON object a line on standard error (`log.format`), each with `at`, `level`, `part`, `action`, and the facts named
here; `exception` where an error was met that nobody expected. Secrets and the local parts of addresses are masked.
`log.level` says which are written: `debug` lines are not by default.

| part | action | level | facts |
|---|---|---|---|
"""

_DYNAMIC: Final[Mapping[str, tuple[str, ...]]] = {
    "pulse.ending.value": tuple(one.value for one in Ending),
    "settlement.event.label if settlement.event else settlement.state.label": tuple(one.label for one in EventKind),
}
"""Actions that are no constant, by their expression."""
_LENT: Final[Mapping[str, tuple[str, ...]]] = {
    "relay.client.unknown_fields": ("api", "front"),
    "relay.descriptors": ("http", "submission"),
    "relay.settings_effect": ("lab", "worker"),
}
"""The parts of modules that are given a logger, by module."""
_LEVELS: Final[Mapping[str, str]] = {"exception": "error"}
_METHODS: Final = frozenset({"debug", "info", "warning", "error", "exception"})


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """A kind of log line."""

    part: str
    action: str
    level: str
    facts: tuple[str, ...]


def series() -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Type, meaning and labels of each metric, by the name in the exposition."""
    found: dict[str, tuple[str, str, tuple[str, ...]]] = {}
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            family = next(iter(value.describe()))
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = (family.type, family.documentation, tuple(value._labelnames))  # noqa: SLF001 - told nowhere else
    return found


def metrics_page() -> str:
    """docs/reference/metrics.md."""
    rows = (
        f"| `{name}` | {kind} | {meaning} | {', '.join(f'`{label}`' for label in labels)} |\n"
        for name, (kind, meaning, labels) in sorted(series().items())
    )
    bounds = (f"| `{label}` | {what} |\n" for label, what in sorted(metrics.BOUNDS.items()))
    return (_METRICS_HEAD + "".join(rows) + _LABELS_HEAD + "".join(bounds)).replace("  |", " |")


def log_page() -> str:
    """docs/reference/log.md."""
    merged: dict[tuple[str, str], list[Line]] = {}
    for line in sorted(set(log_lines())):
        merged.setdefault((line.part, line.action), []).append(line)
    rows = []
    for (part, action), lines in merged.items():
        levels = ", ".join(dict.fromkeys(line.level for line in lines))
        facts = sorted({fact for line in lines for fact in line.facts})
        rows.append(f"| {part} | `{action}` | {levels} | {', '.join(facts)} |\n".replace("  |", " |"))
    return _LOG_HEAD + "".join(rows)


@cache
def log_lines() -> tuple[Line, ...]:
    """Every call of a logger. Raises KeyError for an action or a logger that the sources do not tell."""
    texts = {
        file.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): file.read_text(encoding="utf-8")
        for root in ("relay", "web")
        for file in sorted((ROOT / root).rglob("*.py"))
    }
    trees = {module: ast.parse(text) for module, text in texts.items() if "log." in text or "Log(" in text}
    return tuple(_lines(trees))


def _lines(trees: Mapping[str, ast.Module]) -> Iterator[Line]:
    own = {module: _loggers(tree) for module, tree in trees.items()}
    for module, tree in trees.items():
        borrowed = {
            alias.asname or alias.name: own[node.module][alias.name]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module in own
            for alias in node.names
            if alias.name in own[node.module]
        }
        yield from _lines_of(module, tree, {**borrowed, **own[module]})


def _loggers(tree: ast.Module) -> dict[str, str]:
    """The part of each logger that a module makes, by the expression it is kept in: `_log`, `self._log`."""
    return {
        ast.unparse(statement.targets[0]): str(ast.literal_eval(statement.value.args[0]))
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Call)
        and getattr(statement.value.func, "id", "") == "Log"
    }


def _lines_of(module: str, tree: ast.Module, parts: Mapping[str, str]) -> Iterator[Line]:
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or not call.args:
            continue
        method = call.func.attr
        if method not in _METHODS:
            continue
        owner = ast.unparse(call.func.value)
        if owner.rpartition(".")[2].lstrip("_") == "log":
            facts = tuple(sorted(word.arg for word in call.keywords if word.arg is not None))
            for part in (parts[owner],) if owner in parts else _LENT[module]:
                for action in _actions(call.args[0]):
                    yield Line(part, action, _LEVELS.get(method, method), facts)


def _actions(node: ast.expr) -> tuple[str, ...]:
    match node:
        case ast.Constant(value=str(text)):
            return (text,)
        case ast.IfExp(body=ast.Constant(value=str(one)), orelse=ast.Constant(value=str(other))):
            return (one, other)
        case _:
            return _DYNAMIC[ast.unparse(node)]
