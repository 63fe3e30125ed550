"""Migrations only add, so that nodes of the version before go on beside one that has upgraded the schema (R10)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.database.migrations import read_migrations, statements

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = sorted({file.parent for top in ("relay", "web") for file in (ROOT / top).rglob("sql/**/0001_*.sql")})
TAKES_AWAY = re.compile(
    r"\bDROP\s+(TABLE|COLUMN|CONSTRAINT)\b|\bRENAME\b|\bALTER\s+COLUMN\s+\w+\s+(TYPE|SET\s+NOT\s+NULL|DROP\s+DEFAULT)\b"
    r"|\bADD\s+COLUMN\b(?![^,;]*\bDEFAULT\b)[^,;]*\bNOT\s+NULL\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_nothing_an_older_program_uses_goes_away(folder: Path) -> None:
    migrations = read_migrations(folder)
    assert migrations
    for migration in migrations:
        for statement in statements(migration.sql):
            plain = re.sub(r"--[^\n]*", "", statement)
            assert not TAKES_AWAY.search(plain), (migration.name, plain)
