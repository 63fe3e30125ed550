"""Every rule of sending that must hold has a test that cites it: `# A09` on a test or in a scenario.

So has what the front owes its senders and its recipients: `# SND 3`, `# RCP 6`. What each says stands in docs/rules.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "rules.md"
ROWS = [
    row
    for line in (TESTS / "data" / "must_rows.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for row in line.split()
]
_ROW = re.compile(r"(?<!-)\b[A-S]\d\d\b|\b(?:SND|RCP) \d+\b")
OWED = {*(f"SND {n}" for n in range(1, 12)), *(f"RCP {n}" for n in range(1, 13))}


def cited(folders: Iterable[Path] = (TESTS,)) -> set[str]:
    """The rows named in code, tests and scenarios below `folders`."""
    found: set[str] = set()
    for folder in folders:
        for file in folder.rglob("*"):
            if file.suffix in {".py", ".toml", ".sql", ".html"} and file.name != Path(__file__).name:
                found |= set(_ROW.findall(file.read_text(encoding="utf-8")))
    return found


def explained() -> list[str]:
    """The rows that the page opens a line with, in its order."""
    return re.findall(r"^- \*\*(.+?)\*\* \S", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_must_row_is_cited_by_a_test() -> None:
    assert len(ROWS) == len(set(ROWS))
    assert sorted((set(ROWS) | OWED) - cited()) == []


def test_a_row_that_is_cited_is_explained_once() -> None:
    assert len(explained()) == len(set(explained()))
    folders = (ROOT / name for name in ("relay", "web", "config", "tests", "benchmarks"))
    assert sorted(cited(folders) - set(explained())) == []


def test_a_row_that_is_explained_is_cited_by_a_test() -> None:
    assert sorted(set(explained()) - cited()) == []
