"""The text of a configuration: variables replaced, the environment laid over it, and where each key stands.

Stands under `relay.settings`, which knows what the keys mean; here they are only names.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_origin

from pydantic import BaseModel

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ENV_PREFIX = "LEAK_"
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)")
_MOST_SHOWN: Final = 60


class Places:
    """Says where a setting was written: in which line of the file, or in which environment variable."""

    def __init__(self, model: type[BaseModel], file: Path, text: str, origin: Mapping[str, str]) -> None:
        self._model = model
        self._file = file
        self._lines = LineFinder(text)
        self._origin = origin

    def complaint(self, item: Any) -> str:
        """One of pydantic's errors as "file:line: key: what is wrong; what is allowed"."""
        location: tuple[str | int, ...] = item["loc"]
        key = ".".join(str(part) for part in location if isinstance(part, str))
        message = str(item["msg"]).removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"unknown key; allowed here: {', '.join(sorted(_allowed_keys(self._model, location[:-1])))}"
        elif item["type"] == "missing":
            message = "missing; it has no default"
        elif item["type"] != "value_error":
            message = f"{_sentence(item)}; got {_shown(item['input'])}"
        return f"{self._place(key, location)}: {key}: {message}"

    def unset(self, location: tuple[str | int, ...], variable: str) -> str:
        """The complaint that a string at `location` names an environment variable which is not set."""
        return self.complaint(
            {"loc": location, "type": "value_error", "msg": f"the environment variable {variable} is not set"}
        )

    def _place(self, key: str, location: tuple[str | int, ...]) -> str:
        line = self._lines.find(location)
        variable = next((name for path, name in self._origin.items() if f"{key}.".startswith(f"{path}.")), None)
        if variable is None and line is None:
            # The section itself may be unknown, or lack a key, and come from the environment alone.
            near = (f"{key}.", f"{key.rpartition('.')[0]}." if "." in key else f"{key}.")
            variable = next((name for path, name in self._origin.items() if path.startswith(near)), None)
        return f"environment variable {variable}" if variable else f"{self._file}:{line or 1}"


_SENTENCES: Final = {
    "bool": "write true or false, without quotes",
    "int": "write a whole number, without quotes",
    "float": "write a number, without quotes",
    "string": "write a text in quotes",
    "path": "write a path in quotes",
    "tuple": 'write a list, as in ["a", "b"]',
    "model": "this is a section: write its keys below a line with its name in brackets",
}
"""What to write, by the first word of pydantic's error type ("int_type", "int_parsing", "int_from_float")."""


def _sentence(item: Any) -> str:
    """What is allowed, in our words: pydantic's speak of inputs, tuples and instances."""
    limits: Mapping[str, Any] = item.get("ctx", {})
    match item["type"]:
        case "literal_error":
            return f"write {str(limits['expected']).replace(chr(39), chr(34))}"
        case "too_short":
            least = limits["min_length"]
            return f"it needs at least {'one entry' if least == 1 else f'{least} entries'}"
        case "greater_than_equal":
            return f"it must be {limits['ge']:g} or more"
        case "less_than_equal":
            return f"it must be {limits['le']:g} or less"
        case "greater_than":
            return f"it must be more than {limits['gt']:g}"
        case kind:
            return _SENTENCES.get(str(kind).partition("_")[0], str(item["msg"]))


def _shown(value: Any) -> str:
    """A value as the file has it, cut where it is long."""
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            text = f"[{', '.join(map(_shown, value))}]"
        case dict():
            text = "a section"
        case _:
            text = str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def syntax_complaint(file: Path, text: str, error: tomllib.TOMLDecodeError) -> str:
    """What is wrong with a text that is no TOML, as "file:line: …"."""
    message = str(error)
    if place := _PLACE.search(message):
        return f"{file}:{place[1]}: not valid TOML: {message[: place.start()]} in column {place[2]}"
    return f"{file}:{max(1, len(text.splitlines()))}: not valid TOML: {message.removesuffix(' (at end of document)')}"


def _allowed_keys(root: type[BaseModel], location: tuple[str | int, ...]) -> set[str]:
    model: Any = root
    for part in location:
        if isinstance(part, int):
            continue
        model = model_in(_type_of(model, part))
        if model is None:
            return set()
    return set(model.model_fields) - {"folder"}


def _type_of(model: Any, key: str) -> Any:
    """What a section's key holds; None when it has no such key."""
    field = None if model is None else model.model_fields.get(key)
    return None if field is None else field.annotation


def model_in(annotation: Any) -> Any:
    """The section a field's type holds: itself, or inside a tuple or an optional; None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = model_in(argument)
        if found is not None:
            return found
    return None


Missing = list[tuple[tuple[str | int, ...], str]]
"""Locations of strings that name an environment variable which is not set, with its name."""


def expand(value: Any, environment: Mapping[str, str], missing: Missing, at: tuple[str | int, ...] = ()) -> Any:
    """`${NAME}` replaced in every string."""
    if isinstance(value, dict):
        return {key: expand(item, environment, missing, (*at, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [expand(item, environment, missing, (*at, number)) for number, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        if match[1] not in environment:
            missing.append((at, match[1]))
        return environment.get(match[1], "")

    return _VARIABLE.sub(replace, value)


def overlay(data: dict[str, Any], environment: Mapping[str, str], model: type[BaseModel]) -> dict[str, str]:
    """Lay `LEAK_SECTION__KEY` variables over the file; returns which path came from which variable.

    A value is written as in the file, or as plain text; where `model` holds a list, with commas between its entries.
    """
    origin: dict[str, str] = {}
    for name, text in sorted(environment.items()):
        if not name.startswith(_ENV_PREFIX) or "__" not in name:
            continue
        path = [part.lower() for part in name[len(_ENV_PREFIX) :].split("__")]
        target, section = data, model
        for part in path[:-1]:
            inner = target.setdefault(part, {})
            if not isinstance(inner, dict):
                inner = target[part] = {}
            target, section = inner, model_in(_type_of(section, part))
        value = _written(text)
        if isinstance(value, str) and get_origin(_type_of(section, path[-1])) is tuple:
            value = [entry.strip() for entry in value.split(",") if entry.strip()]
        target[path[-1]] = value
        origin[".".join(path)] = name
    return origin


def _written(text: str) -> Any:
    """A value as the file would have it, else the text itself."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


class LineFinder:
    """Finds the line on which a key stands; tomllib tells no positions."""

    _HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\-]+)\s*\]\]?")
    _KEY = re.compile(r"\s*\"?([A-Za-z0-9_.\-]+)\"?\s*=")

    def __init__(self, text: str) -> None:
        self._lines: list[tuple[int, str, str, int]] = []
        section = ""
        counts: dict[str, int] = {}
        index = 0
        for number, line in enumerate(text.splitlines(), start=1):
            if header := self._HEADER.match(line):
                section = header[1]
                index = counts.get(section, -1) + 1
                counts[section] = index
                self._lines.append((number, section, "", index))
            elif key := self._KEY.match(line):
                self._lines.append((number, section, key[1], index))

    def find(self, location: tuple[str | int, ...]) -> int | None:
        """The line of `location` or of the nearest thing around it, None when the file has none of it."""
        names = [part for part in location if isinstance(part, str)]
        element = next((part for part in location if isinstance(part, int)), None)
        for depth in range(len(names), 0, -1):
            path = names[:depth]
            for number, section, key, index in self._lines:
                full = ".".join(filter(None, (section, key)))
                if full == ".".join(path) and (element is None or section.count(".") == 0 or index == element):
                    return number
        return None
