"""The data files that come with the program, and where a thing stands in one of them.

Ground for whoever reads rules from TOML: a file beside `relay.toml` overrides its namesake in the package, and
every complaint about one names its line, which tomllib does not tell.
"""

from __future__ import annotations

import re
from pathlib import Path

from relay.errors import ConfigurationError

_TABLE = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\-]+)\s*\]\]?")
_KEY = re.compile(r"\s*\"?([A-Za-z0-9_.\-]+)\"?\s*=")


def data_file(name: str, own: Path | None = None) -> Path:
    """The file to read: `own` if it exists, else the one in the wheel, else the repository's."""
    package = Path(__file__).resolve().parent
    for place in (own, package / "defaults" / name, package.parent / "config" / name):
        if place is not None and place.is_file():
            return place
    raise ConfigurationError(f"{name} was not found; the package is incomplete")


def read_data_file(place: Path) -> str:
    """Its text. Raises ConfigurationError."""
    try:
        return place.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{place}: {error}") from None


class TableLines:
    """The lines of a TOML text's tables; the n-th table of a name is n = 1, 2, …"""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, int, str], int] = {}
        counts: dict[str, int] = {}
        table, number = "", 1
        for at, line in enumerate(text.splitlines(), start=1):
            if header := _TABLE.match(line):
                table = header[1]
                number = counts[table] = counts.get(table, 0) + 1
                self._lines[table, number, ""] = at
            elif key := _KEY.match(line):
                self._lines.setdefault((table, number, key[1]), at)

    def line(self, table: str, number: int = 1, key: str = "") -> int:
        """Where `key` of that table stands, else the table, else 1."""
        return self._lines.get((table, number, key)) or self._lines.get((table, number, ""), 1)
