"""What the commands print: tables for people, JSON for programs, complaints on standard error.

Plain text without colour codes, the same on a terminal and in a pipe. What strangers wrote (replies, addresses)
cannot move the cursor or turn the line around (S46).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from relay.wording import CONTROL, clean


class CommandError(Exception):
    """A command failed; the text says why and what helps. Exit status 1."""


class UsageError(Exception):
    """A command was called wrongly; the text says what is allowed. Exit status 2."""


def say(text: str = "") -> None:
    """A line, or several, on standard output."""
    print(clean(text))


def warn(text: str) -> None:
    """A line on standard error."""
    print(clean(text), file=sys.stderr)


def say_json(value: Any) -> None:
    """One JSON value; datetimes as RFC 3339 in UTC; what a terminal would obey is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain)
    print(CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return str(value)


def say_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Columns aligned by their widest cell, numbers to the right; `empty` is said when there are no rows."""
    if not rows:
        say(empty)
        return
    cells = [[clean(_cell(value)).replace("\n", " ") for value in row] for row in rows]
    widths = [max(len(line[n]) for line in [list(columns), *cells]) for n in range(len(columns))]
    right = [all(isinstance(row[n], int) for row in rows) for n in range(len(columns))]
    for line in [[column.upper() for column in columns], *cells]:
        padded = (
            cell.rjust(width) if numeric else cell.ljust(width)
            for cell, width, numeric in zip(line, widths, right, strict=True)
        )
        print("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


def print_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """The same rows as JSON, whole, or as a table of `columns`."""
    if as_json:
        say_json(list(rows))
    else:
        say_table(columns, [[row[column] for column in columns] for row in rows], empty=empty)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is changed; without a terminal, `--yes` must answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Repeat the command with --yes to do it")
    import typer  # here and not above: a node, which asks nothing, starts without it

    if not typer.confirm(question, err=True):
        raise CommandError("nothing was changed")


def fail(text: str) -> NoReturn:
    """End the command with a complaint and exit status 1."""
    raise CommandError(text)
