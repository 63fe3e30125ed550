"""`leak suppression` on a real SQLite spool: added, listed, taken back, erased, taken in and given out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from relay.clock import SystemClock
from relay.event import EventKind
from relay.figures.rows import add_figures, hour_of
from relay.ids import SystemEntropy
from relay.opening import open_stores
from relay.policy.complaints import BrakeRules
from relay.policy.lessons import Figure
from relay.settings import load_settings
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


def test_an_older_backup_forgets_nobody_s_refusal(
    run: Run, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # R11, RCP 1
    """Of readers of letters the hash alone is known: no list could bring them back."""

    def refuse(*people: str) -> None:
        for one in people:
            assert run("add", f"{one}@b.example", "--reason", "opt-out", "--detail", "says so")[0] == 0
            assert run("erase", f"{one}@b.example")[0] == 0

    assert run("add", "ann@b.example", "carl@b.example", "--for", "30d")[0] == 0
    copy, spool = tmp_path / "copy.db", tmp_path / "spool.db"
    assert leak(capsys, "--config", file, "backup", copy).status == 0
    refuse("bob", "eve")
    assert run("erase", "ann@b.example")[0] == 0
    assert run("add", "carl@b.example", "--for", "90d")[0] == 0
    assert run("add", "host@b.example", "--reason", "hard-bounce")[0] == 0
    wanted = [(None, "manual"), ("carl@b.example", "manual"), (None, "opt-out"), (None, "opt-out")]

    done = leak(capsys, "--config", file, "restore", copy, "--yes", "--json")
    assert (done.status, json.loads(done.out)["refusals"]) == (0, 2), done.err
    assert listed(run) == wanted
    assert [row[1] for row in listed(run, "bob+x@b.example")] == ["opt-out"]
    told = json.loads(run("list", "carl@b.example", "--json")[1])[0]
    assert datetime.fromisoformat(told["until"]) > SystemClock().now() + timedelta(days=80)
    aside = f"{spool}.before-restore-1"
    assert json.loads(run("carry", aside, "--json")[1]) == {"added": 0}

    def tear(path: Path) -> None:
        for beside in path.parent.glob(f"{path.name}-*"):
            beside.unlink()
        path.write_bytes(b"torn" * 2000)

    tear(Path(aside))
    assert run("carry", aside)[0] == 1
    tear(spool)
    done = leak(capsys, "--config", file, "restore", copy, "--yes")
    assert (done.status, "is lost" in done.err) == (0, True)
    assert listed(run) == [("ann@b.example", "manual"), ("carl@b.example", "manual")]


def test_wrong_use(run: Run, file: Path) -> None:
    assert run("add", "nobody")[0] == 2
    assert run("add", "a@b.example", "--reason", "x")[0] == 2
    assert run("add", "a@b.example", "--for", "x")[0] == 2
    assert run("add", "a@b.example", "--tenant", "nobody")[0] == 1
    assert run("export", "--format", "x")[0] == 2
    assert run("import", str(file.with_name("none")))[0] == 2


async def brake(file: Path) -> None:
    stores = await open_stores(load_settings(file, {}), SystemClock(), SystemEntropy())
    tenant = await stores.accounts.ensure_tenant("acme")
    hour = hour_of(SystemClock().now())
    counts = {
        Figure(hour, tenant, "news", "yahoo", int(EventKind.DELIVERED), ""): 1000,
        Figure(hour, tenant, "news", "yahoo", int(EventKind.COMPLAINED), "abuse"): 4,
    }
    await stores.database.write(lambda connection: add_figures(connection, counts))
    assert await stores.figures.tighten(BrakeRules()) == 1
    await stores.spool.raise_alarm("complaints", "acme/news", "stopped")
    await stores.close()


def test_a_braked_stream_is_shown_and_resumed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(brake(file))
    shown = leak(capsys, "--config", file, "queue").out
    assert "acme/news stopped for 4 complaints among 1000 deliveries" in shown
    assert "leak queue resume --tenant acme --stream 'news'" in shown
    table = leak(capsys, "--config", file, "report", "--by", "provider").out
    assert table.splitlines()[1].split() == ["yahoo", "1000", "4"]
    rows = json.loads(leak(capsys, "--config", file, "report", "--by", "stream,tenant", "--json").out)
    assert [(row["tenant"], row["stream"], row["counts"]["complained"]) for row in rows] == [("acme", "news", 4)]
    assert leak(capsys, "--config", file, "queue", "resume").status == 2
    assert leak(capsys, "--config", file, "queue", "resume", "--tenant", "acme", "--stream", "x").status == 1
    assert leak(capsys, "--config", file, "queue", "resume", "--tenant", "acme", "--stream", "news").status == 0
    shown = leak(capsys, "--config", file, "queue").out
    assert "acme/news" not in shown
    assert leak(capsys, "--config", file, "report", "--by", "nonsense").status == 2
    assert leak(capsys, "--config", file, "report", "--tenant", "nobody").status == 1
