"""The documents name only commands, options, files and chapters that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from relay.cli.app import app
from relay.cli.send import HELP

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
_ROOT: Any = get_command(app)
_ENDS = re.compile(r"[|&;<>]|\s#|\\$")


def code(text: str) -> Iterator[str]:
    """Lines of code blocks and code spans."""
    for block in re.findall(r"^( *)```[a-z]*\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL):
        yield from block[1].splitlines()
    for line in re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        yield line if line.startswith("    leak ") else ""
        yield from re.findall(r"`([^`]+)`", line)


def commands(text: str) -> Iterator[list[str]]:
    """Each call of `leak` in code, as words."""
    for line in code(text):
        plain = re.sub(r"\$\([^)]*\)", "", line.strip().removeprefix("$ "))
        for part in re.split(r"&& |\|\| |\| ", plain):
            found = re.match(r"(?:LEAK_[A-Z_]+=\S+ )*(?:\S*/)?leak (\S.*)", part.strip())
            if found is None:
                continue
            wanted = _ENDS.split(found[1])[0].replace("[", " ").replace("]", " ").replace("…", "").replace("'", "")
            try:
                yield shlex.split(wanted)
            except ValueError:
                yield wanted.split()


def check(words: list[str]) -> str:
    """What is wrong with a call, "" = nothing."""
    command: Any = _ROOT
    options = set(command.params[0].opts) | {"--config", "--help", "--version"}
    remaining = list(words)
    while remaining and getattr(command, "commands", None):
        word = remaining[0]
        if word.startswith("-"):
            remaining.pop(0)
            if word == "--config":
                remaining.pop(0)
            continue
        if word not in command.commands:
            invoked = getattr(command, "invoke_without_command", False)
            return "" if invoked else f"no command {word!r}"
        command = command.commands[remaining.pop(0)]
    for one in command.params:
        options |= {*one.opts, *one.secondary_opts}
    if command.name == "send":
        return (
            "" if all(word.split("=")[0] in HELP for word in remaining if word.startswith("--")) else "no such option"
        )
    unknown = [word for word in remaining if word.startswith("--") and word.split("=")[0].split("|")[0] not in options]
    return f"no option {unknown[0]}" if unknown else ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    wrong = {" ".join(words): said for words in commands(page.read_text(encoding="utf-8")) if (said := check(words))}
    assert wrong == {}


def test_the_reader_of_commands_reads() -> None:
    """Guards the test above: calls are found in blocks, spans and pipes, and what is wrong with them."""
    text = (
        "a `leak queue warm-up` b\n```sh\nprintf x | leak frobnicate\n$ leak doctor --sedes\n```\n    leak top --once\n"
    )
    found = list(commands(text))
    assert sorted(map(" ".join, found)) == ["doctor --sedes", "frobnicate", "queue warm-up", "top --once"]
    assert [bool(check(words)) for words in sorted(found)] == [True, True, False, False]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files, and chapters within pages of ours."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, chapter = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if chapter and file.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert chapter in anchors, target
