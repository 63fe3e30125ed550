"""`leak doctor` as a command: what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command import leak


@pytest.fixture
def folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A fresh configuration, whose resolver nobody answers at."""
    ran = leak(capsys, "init", "--yes", "--domain", "leak.example", "--folder", tmp_path)
    assert ran.status == 0, ran.err
    file = tmp_path / "relay.toml"
    file.write_text(file.read_text().replace("nameservers = []", 'nameservers = ["127.0.0.1:1"]\ntimeout = "50ms"'))
    return tmp_path


def test_local_checks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first start there is no spool; the rest is told all the same, and the status says so."""
    file = folder / "relay.toml"
    ran = leak(capsys, "--config", file, "doctor", "--only", "secrets", "--only", "disk")
    assert ran.status == 0, ran
    assert "private files, none open to everybody" in ran.out
    assert ran.out.splitlines()[-1] == "3 ok"
    (folder / "secrets" / "link").chmod(0o644)
    ran = leak(capsys, "--config", file, "doctor", "--only", "secrets", "--only", "versions")
    assert ran.status == 1
    assert "-> chmod o=" in ran.out
    assert "there is no spool" in ran.out


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A resolver that is away is an error, and what depends on it is unknown, never a fault."""
    ran = leak(capsys, "--config", folder / "relay.toml", "doctor", "--json", "--only", "resolver", "--only", "dkim")
    assert ran.status == 1
    found = json.loads(ran.out)
    assert found["worst"] == "error"
    by_id = {one["id"]: one for one in found["findings"] if one["id"] != "key-age"}
    assert by_id["resolver"]["severity"] == "error"
    assert by_id["dkim"]["severity"] == "unknown"
    assert set(by_id["dkim"]) == {"id", "subject", "severity", "evidence", "remedy"}


def test_unknown_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong name is wrong usage, and the right ones are told."""
    ran = leak(capsys, "--config", folder / "relay.toml", "doctor", "--only", "weather")
    assert ran.status == 2
    assert "certificate" in ran.err


def test_seeds_without_a_mailbox(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage says what to write; the history of a spool without letters is none, and its chart is drawn."""
    file = folder / "relay.toml"
    for words, said in (
        (["--seeds"], "[[doctor.seeds]]"),
        (["--seeds", "--only", "ptr"], "use one of them"),
        (["--history"], "belong to --seeds"),
        (["--plot", str(folder / "x.svg")], "belong to --seeds"),
    ):
        ran = leak(capsys, "--config", file, "doctor", *words)
        assert (ran.status, said in ran.err) == (2, True), ran
    assert leak(capsys, "--config", file, "migrate").status == 0
    ran = leak(capsys, "--config", file, "doctor", "--seeds", "--history", "--plot", folder / "seeds.svg")
    assert (ran.status, ran.out) == (0, "no letters yet\n")
    assert "no letters yet" in (folder / "seeds.svg").read_text()


def test_seeds_whose_password_is_not_private(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Named with the command that mends it; nothing is sent."""
    file = folder / "relay.toml"
    seed = '[[doctor.seeds]]\naddress = "me@inbox.example"\nimap = "127.0.0.1:1/tls"\npassword_file = "secrets/seed"\n'
    file.write_text(file.read_text() + seed)
    (folder / "secrets" / "seed").write_text("sesame\n")
    (folder / "secrets" / "seed").chmod(0o644)
    assert leak(capsys, "--config", file, "migrate").status == 0
    ran = leak(capsys, "--config", file, "doctor", "--seeds")
    assert ran.status == 2
    assert "chmod 600" in ran.err
    (folder / "secrets" / "seed").chmod(0o600)
    ran = leak(capsys, "--config", file, "doctor", "--seeds", "--json")
    assert ran.status == 4
    found = json.loads(ran.out)
    assert found["findings"][0]["severity"] == "unknown"
    assert found["letters"] == found["history"] == []
    assert "sesame" not in ran.out + ran.err
