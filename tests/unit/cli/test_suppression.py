"""`leak suppression` on a real SQLite spool: added, listed, taken back, erased, taken in and given out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import leak


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text('[spool]\nurl = "sqlite:spool.db"\n')
    return path


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str]:
        done = leak(capsys, "--config", file, "suppression", *words)
        return done.status, done.out + done.err

    return run


def listed(run: Run, *words: str) -> list[tuple[str | None, str]]:
    return [(row["address"], row["reason"]) for row in json.loads(run("list", "--json", *words)[1])]


def test_a_life_of_a_list(run: Run, tmp_path: Path) -> None:
    assert run("add", "ann@b.example", "bob@b.example", "--detail", "by phone") == (0, "added 2\n")
    assert run("add", "ann@b.example", "--reason", "opt-out")[0] == 0
    assert listed(run, "ANN+x@b.example") == [("ann@b.example", "manual"), ("ann@b.example", "opt-out")]
    assert run("remove", "ann@b.example") == (0, "removed 1\n")
    assert run("remove", "ann@b.example")[0] == 1
    assert run("erase", "ann@b.example")[0] == 0
    assert listed(run, "ann@b.example") == [(None, "opt-out")]
    exported = run("export")[1]
    assert "bob@b.example,manual" in exported
    assert "ann" not in exported
    assert run("remove", "ann@b.example", "--reason", "opt-out", "--yes") == (0, "removed 1\n")
    source = tmp_path / "list.csv"
    source.write_text(exported + "nonsense,manual\n")
    status, text = run("import", str(source))
    assert (status, text.splitlines()[0]) == (1, "form csv, added 0, known 1, over 0")
    assert "line 3" in text


def test_wrong_use(run: Run, file: Path) -> None:
    assert run("add", "nobody")[0] == 2
    assert run("add", "a@b.example", "--reason", "x")[0] == 2
    assert run("add", "a@b.example", "--for", "x")[0] == 2
    assert run("add", "a@b.example", "--tenant", "nobody")[0] == 1
    assert run("export", "--format", "x")[0] == 2
    assert run("import", str(file.with_name("none")))[0] == 2
