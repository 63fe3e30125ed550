"""What is shipped for servers says nothing that is not there: paths, options, names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from relay.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
DOCKERFILES = sorted((PACKAGING / "docker").glob("*ockerfile"))
SAID_IN = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("service.md", "backup.md")), *PACKAGING.rglob("*")]


def instructions(file: Path) -> list[str]:
    """A Dockerfile's, continuation lines joined."""
    text = re.sub(r"\\\n\s*", "", file.read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_dockerfile_copies_what_is_there_and_is_not_ignored(file: Path) -> None:
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    lines = instructions(file)
    assert lines[0].startswith("FROM ")
    assert all(re.fullmatch(r"[A-Z]+ .+", line) for line in lines)
    for line in lines:
        words = shlex.split(line)
        if words[0] == "COPY" and not words[1].startswith("--from"):
            for source in words[1:-1]:
                assert (ROOT / source).exists(), source
                assert source.partition("/")[0] in sent, source
        assert words[0] != "ADD", line
        assert "latest" not in line
    assert not any("--no-cache-dir" not in line for line in lines if "pip install" in line)


def test_what_compose_and_the_units_name_is_there() -> None:
    compose = (PACKAGING / "docker" / "compose.yaml").read_text()
    for name in re.findall(r"dockerfile: (\S+)", compose):
        assert (ROOT / name).exists(), name
    install = (PACKAGING / "install").read_text()
    for name in re.findall(r'"\$here/(\S+)"', install):
        assert (PACKAGING / name).exists(), name
    for unit in (PACKAGING / "systemd").iterdir():
        assert f"systemd/{unit.name}" in install, unit


def _commands() -> dict[str, set[str]]:
    """Every command with its options."""
    found: dict[str, set[str]] = {}

    def walk(name: str, command: object) -> None:
        found[name] = {one for item in getattr(command, "params", ()) for one in (*item.opts, *item.secondary_opts)}
        for child, below in getattr(command, "commands", {}).items():
            walk(f"{name} {child}", below)

    walk("leak", typer.main.get_command(app))
    return found


def _said() -> Iterator[tuple[str, str]]:
    for file in SAID_IN:
        if file.is_file():
            text = re.sub(r"\\\n[ #]*", " ", file.read_text())
            for match in re.finditer(r"(?:^|[ /`|])leak ((?:[a-z-]+ ?)+(?:[^\n`|&;#]*))", text, re.MULTILINE):
                yield str(file.relative_to(ROOT)), match[1]


def test_every_option_that_is_said_exists() -> None:
    commands = _commands()
    looked_at = 0
    for place, words in _said():
        parts = words.split()
        depth = next((n for n in (3, 2, 1) if " ".join(["leak", *parts[:n]]) in commands), 0)
        if not depth or parts[0] == "send":
            continue
        options = commands[" ".join(["leak", *parts[:depth]])] | commands["leak"]
        for option in (part.partition("=")[0] for part in parts[depth:] if part.startswith("--")):
            looked_at += 1
            assert option.rstrip(".,:)'\"") in options, (place, words, option)
    assert looked_at > 20
