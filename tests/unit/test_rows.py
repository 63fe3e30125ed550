"""Every rule of sending that must hold has a test that cites it: `# A09` on a test or in a scenario.

So has what the front owes its senders and its recipients: `# SND 3`, `# RCP 6`.
"""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROWS = [
    row
    for line in (TESTS / "data" / "must_rows.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for row in line.split()
]
_ROW = re.compile(r"\b[A-Z]\d\d\b|\b(?:SND|RCP) \d+\b")
OWED = {*(f"SND {n}" for n in range(1, 12)), *(f"RCP {n}" for n in range(1, 13))}


def cited() -> set[str]:
    """The rows named in tests and scenarios."""
    found: set[str] = set()
    for file in TESTS.rglob("*"):
        if file.suffix in {".py", ".toml"} and file.name != Path(__file__).name:
            found |= set(_ROW.findall(file.read_text(encoding="utf-8")))
    return found


def test_every_must_row_is_cited_by_a_test() -> None:
    assert len(ROWS) == len(set(ROWS))
    assert sorted((set(ROWS) | OWED) - cited()) == []
