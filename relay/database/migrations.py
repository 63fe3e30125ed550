"""Migrations: numbered SQL files, applied once and in order, remembered with their checksum."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from relay.database.contract import Connection
from relay.errors import SchemaError

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migration (
  component TEXT NOT NULL,
  number INTEGER NOT NULL,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  PRIMARY KEY (component, number)
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """What is remembered of its text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """The migrations in `folder`, by number; SchemaError for a gap or a stray file."""
    found: list[Migration] = []
    for file in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(file.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise SchemaError(f"{folder.name}/{file.name}: migrations are numbered 0001, 0002, … without a gap")
        found.append(Migration(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    return tuple(found)


def apply_migrations(connection: Connection, component: str, migrations: Sequence[Migration]) -> list[str]:
    """Apply what is missing in the open transaction; the names applied.

    Raises SchemaError when the database is ahead of this program, or a file changed after it was applied.
    """
    connection.execute(_TABLE)
    done: dict[int, tuple[str, str]] = {
        number: (name, checksum)
        for number, name, checksum in connection.execute(
            "SELECT number, name, checksum FROM schema_migration WHERE component = ?", (component,)
        )
    }
    newest = len(migrations)
    if done and max(done) > newest:
        raise SchemaError(
            f"{component}: the database has migration {max(done)}, this program knows {newest}: it is too old for it"
        )
    applied: list[str] = []
    for migration in migrations:
        if migration.number in done:
            if done[migration.number][1] != migration.checksum:
                raise SchemaError(f"{component}: {migration.name} was changed after it was applied")
            continue
        for statement in statements(migration.sql):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO schema_migration VALUES (?, ?, ?, ?)",
            (component, migration.number, migration.name, migration.checksum),
        )
        applied.append(migration.name)
    return applied


def statements(sql: str) -> Iterator[str]:
    """The statements of a migration file: each ends with a semicolon at a line's end, and has none at one before."""
    for part in re.split(r";[ \t]*(?:--[^\n]*)?(?:\n|$)", sql):
        if re.sub(r"--[^\n]*", "", part).strip():
            yield part
