"""The root of the command line: versions, usage, exit statuses, where the configuration comes from."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from relay import __version__
from relay.cli.app import hoist_config
from tests.support.command import leak, leak_program


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["check", "--config", "a"], ["--config", "a", "check"]),
        (["check", "--config=a", "--json"], ["--config=a", "check", "--json"]),
        (["--config", "a", "queue", "list"], ["--config", "a", "queue", "list"]),
        (["send", "--", "--config", "a"], ["send", "--", "--config", "a"]),
        (["check", "--config"], ["check", "--config"]),
        ([], []),
    ],
)
def test_the_configuration_may_be_named_on_either_side(words: list[str], expected: list[str]) -> None:
    assert hoist_config(words) == expected


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert leak(capsys, "--version").out == f"leak {__version__}\n"
    assert leak(capsys, "--config", "nowhere", "--version").out == f"leak {__version__}\n"


async def test_version_loads_next_to_nothing() -> None:
    program = "import sys; from relay.cli import main; main(['--version']); print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    modules = set(out.decode().split())
    assert not modules & {"typer", "pydantic", "aiohttp", "cryptography", "asyncio", "relay.settings"}


async def test_a_node_starts_without_loading_the_other_commands(tmp_path: Path) -> None:
    # A supervisor spent two fifths of its start on them, and each of its workers a seventh.
    (tmp_path / "relay.toml").write_text("[nodule]\n", encoding="utf-8")
    spellings = (["run", "--config", "relay.toml"], ["--config", "relay.toml", "run"], ["run", "--config=relay.toml"])
    program = f"import sys; from relay.cli import main; print(*map(main, {spellings})); print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, complaints = await process.communicate()
    statuses, _, modules = out.decode().partition("\n")
    assert statuses == "2 2 2"
    assert complaints.count(b"leak: ") == complaints.count(b"nodule") == 3
    assert not set(modules.split()) & {"typer", "relay.cli.app", "relay.worker"}


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = leak(capsys, "frobnicate")
    assert unknown.status == 2
    assert unknown.out == ""
    assert "No such command" in unknown.err
    assert leak(capsys, "queue", "list", "--nonsense").status == 2
    assert leak(capsys, "dkim", "new", "leak.example").status == 2


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    ran = leak(capsys, "--help")
    assert ran.status == 0
    for command in ("run", "init", "check", "dns", "dkim", "send", "queue", "message", "user", "reload"):
        assert f"\n  {command} " in ran.out
    assert "\x1b" not in ran.out


def test_a_configuration_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = leak(capsys, "check", "--config", tmp_path / "none.toml")
    assert ran.status == 2
    assert "none.toml: no such file" in ran.err
    monkeypatch.setenv("LEAK_CONFIG", str(tmp_path / "other.toml"))
    assert "other.toml: no such file" in leak(capsys, "check").err
    monkeypatch.delenv("LEAK_CONFIG")
    monkeypatch.chdir(tmp_path)
    assert "config/relay.toml: no such file" in leak(capsys, "check").err


async def test_a_reader_that_has_seen_enough() -> None:
    ran = await leak_program("dns", "--config", "config/relay.toml", "--json")
    assert ran.status == 0
    assert isinstance(json.loads(ran.out), list)


def test_a_command_leaves_no_core_dump() -> None:  # S53
    """Writers' connections are in clear in a process's memory alone."""
    said = "import sys; sys.argv = ['leak', 'read', '--help']; from relay.cli import main; main(); "
    said += "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
    ran = subprocess.run([sys.executable, "-P", "-c", said], check=True, capture_output=True, text=True)
    limits = ran.stdout.splitlines()[-1]
    assert limits in ("(1, 1)", "(0, 0)"), limits
