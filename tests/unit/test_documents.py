"""The documents name only commands, options, settings, metrics, files and chapters that exist; none is left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.main import get_command

from relay.cli.app import app
from relay.cli.reference_figures import log_lines, series
from relay.cli.send import HELP
from relay.event import EventKind
from relay.policy.alarms import AlarmKind
from relay.settings import Settings
from relay.settings_text import model_in
from web.documents import Document

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
FOLDERS = ("docs", "packaging", "postfix-example", "dkim_keys", "tests/scenarios", "benchmarks")
LINKED = sorted({*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))})
SOURCES = {
    "relay": {".py", ".sql"},
    "web": {".py", ".sql"},
    "config": {".toml"},
    "packaging": {".toml", ".service", ".timer"},
}
ENDINGS = {"py", "md", "toml", "html", "txt", "json", "sql", "test"}
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
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


def anchors(text: str) -> set[str]:
    """The chapters of a page as GitHub names them; what looks like one in a code block is none."""
    plain = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Files, and chapters within pages of ours."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, chapter = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if chapter and file.suffix == ".md":
            assert chapter in anchors(file.read_text(encoding="utf-8")), target


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", index.read_text(encoding="utf-8"))
    linked = {(index.parent / target).resolve() for target in targets if "://" not in target}
    assert {page for page in (ROOT / "docs").rglob("*.md") if page != index} - linked == set()


def test_pages_that_code_and_examples_name_exist() -> None:
    """Comments and messages lead to pages by their path."""
    places = [ROOT / "CHANGELOG.md", ROOT / "Makefile"]
    for folder, endings in SOURCES.items():
        places += [file for file in (ROOT / folder).rglob("*") if file.suffix in endings]
    missing = {
        f"{place.relative_to(ROOT)}: {name}"
        for place in places
        for name in re.findall(r"\bdocs/[\w/.-]+\.(?:md|svg)\b", place.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    }
    assert missing == set()


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_of_ours_exist(page: Path) -> None:
    """Paths in code spans that begin with a folder of this repository."""
    named = re.findall(r"`((?:relay|web|tests|config|packaging|benchmarks|docs)/[\w./-]+)`", page.read_text("utf-8"))
    assert [
        name
        for name in named
        if "NAME" not in name and not (ROOT / name).exists() and not (ROOT / "docs" / name).exists()
    ] == []


def fields_of(model: type[BaseModel], path: tuple[str, ...]) -> bool:
    """Whether the settings know this path."""
    field = model.model_fields.get(path[0])
    inner = None if field is None else model_in(field.annotation)
    return field is not None and (len(path) == 1 or (inner is not None and fields_of(inner, path[1:])))


def settings_in(text: str) -> Iterator[str]:
    """Settings that a page names: `section.key` in code spans, and the keys of its examples of a relay.toml."""
    for span in re.findall(r"`\[?\[?([a-z_]+(?:\.[a-z_0-9]+)+)(?: = [^`]*)?\]?\]?`", text):
        if span.split(".")[0] in Settings.model_fields and span.split(".")[-1] not in ENDINGS:
            yield span
    for block in re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        section = ""
        for line in block.splitlines():
            if head := re.match(r"\[\[?([\w.]+)\]", line):
                section = head[1]
            elif section.split(".")[0] in Settings.model_fields and (key := re.match(r"(?:# ?)?(\w+) = ", line)):
                yield f"{section}.{key[1]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_exist(page: Path) -> None:
    named = set(settings_in(page.read_text(encoding="utf-8")))
    assert {name for name in named if not fields_of(Settings, tuple(name.split(".")))} == set()


def test_the_reader_of_settings_reads() -> None:
    """Guards the test above."""
    block = "```toml\n[log]\nlevle = 1\n# format = 2\n```\n"
    text = f"a `web.jitter` `[web.relay]` `[[egress.pool]]` `web.jittre = 0`\n{block}"
    found = list(settings_in(text))
    assert found == ["web.jitter", "web.relay", "egress.pool", "web.jittre", "log.levle", "log.format"]
    known = [fields_of(Settings, tuple(name.split("."))) for name in found]
    assert known == [True, True, True, False, False, True]


def test_metrics_alarms_and_log_lines_exist() -> None:
    """`leak_…`, "the alarm `x`" and "the log says `x`" (has, line, log)."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    metrics = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"`(leak_[a-z_]+)[`{]", text)}
    assert metrics - set(series()) == set()
    alarms = set(re.findall(r"\balarms? `([a-z-]+)`", text))
    assert alarms - {kind.value for kind in AlarmKind} == set()
    lines = set(re.findall(r"\blog(?: says| has| line|s)? `([a-z-]+)`", text))
    assert lines - {line.action for line in log_lines()} == set()


def test_every_kind_of_event_is_explained_and_no_other() -> None:
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    table = text.split("| kind | the delivery |")[1].split("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert named == {kind.label for kind in EventKind}


def test_every_page_of_the_front_is_in_the_table_and_no_other() -> None:
    text = (ROOT / "docs" / "front.md").read_text(encoding="utf-8")
    table = text.split("| request | page |")[1].split("\n\n")[0]
    named = {
        re.sub(r"/[A-Z]+$", "/*", re.sub(r"\?.*", "", path))
        for path in re.findall(r"`(?:GET |POST )?(/[\w./?=-]*)", table)
    }
    assert named >= {"/", "/preview", "/s/*", "/r/*", "/read/*", "/wall", "/wall/*", "/weekly", "/weekly/*", "/notice"}
    reading = set(re.findall(r"`(/[a-z-]+)`", text.split("## Pages for reading")[1].split("\n\n")[1]))
    assert {f"/{document.value}" for document in Document} - reading == set()
