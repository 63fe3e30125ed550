"""The generated pages are what the code says, and the code says something about everything."""

from __future__ import annotations

import re
from typing import Any

import pytest
from click import Context
from pydantic import BaseModel
from typer.main import get_command

from relay.cli.app import app
from relay.cli.reference import FOLDER, PAGES
from relay.settings import Listen, Settings
from relay.settings_text import model_in


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_fresh(name: str) -> None:
    written = (FOLDER / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run python -m relay.cli.reference"


def _fields(model: type[BaseModel], path: str = "") -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    for name, field in model.model_fields.items():
        section = model_in(field.annotation)
        if section is None or section is Listen:
            found.append((f"{path}{name}", field.description))
        else:
            found += _fields(section, f"{path}{name}.")
    return found


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, description in _fields(Settings) if not description] == []


def test_every_setting_is_on_the_page() -> None:
    page = PAGES["settings.md"]()
    for name, _ in _fields(Settings):
        if name != "folder":
            assert f"| `{name.rpartition('.')[2]}` |" in page, name


def test_every_command_and_option_says_what_it_does() -> None:
    silent: list[str] = []

    def walk(command: Any, path: str) -> None:
        if not command.help:
            silent.append(path)
        silent.extend(
            f"{path} {one.name}" for one in command.params if one.name != "help" and not getattr(one, "help", "")
        )
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}")

    walk(get_command(app), "leak")
    assert silent == ["leak send words"]  # its options stand in a text of its own


def test_what_an_option_takes_is_said_in_words_for_people() -> None:
    told: list[str] = []

    def walk(command: Any, path: str) -> None:
        usage = command.get_help(Context(command))
        told.extend(f"{path}: {word}" for word in re.findall(r"--\S+ <list\[.*?\]>", usage))
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}")

    walk(get_command(app), "leak")
    assert told == []
