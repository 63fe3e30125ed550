"""What belongs into an archive beside the database: the configuration, and every file and folder that it names.

Each is kept under the place it gets below a new configuration's folder, with the words by which the settings name it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from pydantic import BaseModel

from relay.settings import Settings

CONFIGURATION: Final = "relay.toml"
_WRITTEN_BY_US: Final = frozenset({"journal"})
"""Sections whose paths are what the node writes, not what it needs."""


@dataclass(frozen=True, slots=True)
class Named:
    """A path of the settings: the setting, its words there, and its place below a new folder."""

    setting: str
    words: str
    place: PurePosixPath


@dataclass(frozen=True, slots=True)
class Kept:
    """A file to keep, and its place."""

    file: Path
    place: PurePosixPath


def named_paths(settings: Settings) -> list[Named]:
    """Every path in the settings that there is. Those within the configuration's folder keep their place."""
    found: list[Named] = []
    taken: dict[PurePosixPath, Path] = {}
    for setting, path in _paths(settings, ""):
        there = settings.path(path)
        if not there.exists():
            continue
        place = _place(settings, path)
        number = 1
        while taken.setdefault(place, there) != there:
            number += 1
            place = PurePosixPath("files", f"{number}-{path.name}")
        found.append(Named(setting, str(path), place))
    return found


def kept_files(settings: Settings, file: Path) -> Iterator[Kept]:
    """The configuration, the rules beside it, and all that the settings name. A file is told once."""
    told: set[PurePosixPath] = set()
    for kept in _all_files(settings, file):
        if kept.place not in told:
            told.add(kept.place)
            yield kept


def _all_files(settings: Settings, file: Path) -> Iterator[Kept]:
    yield Kept(file, PurePosixPath(CONFIGURATION))
    for rules in sorted([*settings.folder.glob("*.toml"), *settings.folder.glob("moderation/*.toml")]):
        if rules.resolve() != file.resolve():
            yield Kept(rules, PurePosixPath(rules.relative_to(settings.folder)))
    for named in named_paths(settings):
        there = settings.path(Path(named.words))
        if there.is_dir():
            for one in sorted(there.rglob("*")):
                if one.is_file():
                    yield Kept(one, named.place / one.relative_to(there))
        else:
            yield Kept(there, named.place)


def _place(settings: Settings, path: Path) -> PurePosixPath:
    there = settings.path(path)
    if there.is_relative_to(settings.folder) and there != settings.folder:
        return PurePosixPath(there.relative_to(settings.folder))
    return PurePosixPath(path.name) if there.is_dir() else PurePosixPath("files", path.name)


def _paths(value: object, name: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, Path):
        yield name, value
    elif isinstance(value, BaseModel):
        for field in type(value).model_fields:
            if field not in _WRITTEN_BY_US and field != "folder":
                yield from _paths(getattr(value, field), f"{name}.{field}" if name else field)
    elif isinstance(value, tuple):
        for one in value:
            yield from _paths(one, name)
