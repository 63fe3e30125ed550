"""Whom to call when a life is in danger, as data: `[authority.…]` in `legal/fr.toml`.

The desk's page about such a case shows them. For another country, a file of one's own beside `relay.toml` replaces
ours.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from relay.data_files import data_file, read_data_file
from relay.errors import ConfigurationError

_NAME: Final = "legal/fr.toml"
_KEYS: Final = frozenset({"name", "number", "link", "en", "fr"})


@dataclass(frozen=True, slots=True)
class Authority:
    """Somebody to tell: a number or a page, and what for, in each language."""

    name: str
    number: str
    link: str
    en: str
    fr: str


def load_authorities(folder: Path | None = None) -> tuple[Authority, ...]:
    """Those of `folder`/legal/fr.toml if it names any, else ours. Raises ConfigurationError."""
    own = data_file(_NAME, folder / _NAME if folder is not None else None)
    return _read(own) or _read(data_file(_NAME, None))


def _read(place: Path) -> tuple[Authority, ...]:
    try:
        tables = tomllib.loads(read_data_file(place)).get("authority", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    found: list[Authority] = []
    for name, texts in tables.items():
        if not isinstance(texts, dict) or texts.keys() != _KEYS or not all(isinstance(t, str) for t in texts.values()):
            raise ConfigurationError(f"{place}: [authority.{name}] needs the texts {', '.join(sorted(_KEYS))}")
        if texts["link"] and not texts["link"].startswith("https://"):
            raise ConfigurationError(f"{place}: [authority.{name}]: link begins with https://")
        found.append(Authority(**texts))
    return tuple(found)
