"""`leak letters` on a real spool: what waits is listed, shown, let go or refused, and every decision is logged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from relay.client.contract import Letter
from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.node_secrets import ensure_secrets
from relay.opening import open_stores
from relay.settings import load_settings
from tests.support.command import Ran, leak
from web.letter_table import DatabaseLetterStore
from web.letters import HOLD_TIME, Departure, HeldFor, Hold, NewLetter, PendingLetter, hash_secret
from web.mailbox import MailboxHasher
from web.moderation.ruling import Step
from web.replies import NewReply, ReplyStore
from web.reports import Report, ReportStore

Run = Callable[..., Ran]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text('[spool]\nurl = "sqlite:spool.db"\n')
    asyncio.run(_fill(path))
    return path


@pytest.fixture
def run(file: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *words: leak(capsys, "--config", file, "letters", *words)


async def _fill(path: Path) -> None:
    clock = SystemClock()
    stores = await open_stores(load_settings(path), clock, SystemEntropy())
    letters = DatabaseLetterStore(stores.database)
    await letters.prepare()
    for n in range(2):
        mail = Letter("l@leak.example", "A friend", "ann@b.example", "s", "t", "<p>t", "letters", f"id{n}")
        letter = NewLetter(mail.idempotency_key, hash_secret(str(n)), "en", "friend", mail, f"Words {n}\x1b[31m")
        hold = Hold(clock.now() + HOLD_TIME, HeldFor.RULES, ("threat",))
        await letters.add(letter, clock.now(), Departure(hold.until, hold))
    await stores.close()


async def _due(path: Path) -> list[PendingLetter]:
    clock = SystemClock()
    stores = await open_stores(load_settings(path), clock, SystemEntropy())
    due = await DatabaseLetterStore(stores.database).take_due(clock.now() + timedelta(days=1), timedelta(0), 9)
    await stores.close()
    return due


def test_held_letters_are_decided_about(run: Run, file: Path) -> None:
    assert [row["id"] for row in json.loads(run("list", "--json").out)] == ["id0", "id1"]
    shown = run("show", "id0").out
    assert "Words 0" in shown
    assert "\x1b" not in shown
    assert asyncio.run(_due(file)) == []

    assert run("release", "id0", "--reason", "meant well").status == 0
    assert run("refuse", "id1", "--rule", "nonsense", "--reason", "r").status == 2
    assert run("refuse", "id1", "--rule", "threat", "--reason", " ").status == 2
    assert run("refuse", "id1", "--rule", "threat", "--reason", "It threatens.").status == 0
    assert run("refuse", "id1", "--rule", "threat", "--reason", "twice").status == 1
    assert "no letter waits" in run("list").out
    assert [letter.id for letter in asyncio.run(_due(file))] == ["id0"]

    log = json.loads(run("log", "--json").out)
    assert {(row["subject"], row["action"], row["reason"]) for row in log} == {
        ("id0", "release", "meant well"),
        ("id1", "refuse", "It threatens."),
    }


def test_who_lets_a_letter_go_reads_that_a_report_waits(run: Run, file: Path) -> None:
    asyncio.run(_report(file))
    released = run("release", "id0", "--reason", "meant well")
    assert released.status == 0
    assert "it leaves once that is decided" in released.out
    assert run("release", "id0", "--reason", "meant well").status == 1


async def _report(path: Path) -> None:
    settings, clock = load_settings(path), SystemClock()
    stores = await open_stores(settings, clock, SystemEntropy())
    mailboxes = MailboxHasher([ensure_secrets(settings.path(settings.node.secrets), SystemEntropy()).block_hash])
    reports = ReportStore(stores.database, clock, SystemEntropy())
    await reports.file(Report("id1", "hate", ""), mailboxes.of("Ann+x@b.example"))
    await stores.close()


async def _answer(path: Path, letter: str, step: Step = Step.HOLD) -> None:
    clock = SystemClock()
    stores = await open_stores(load_settings(path), clock, SystemEntropy())
    reply = NewReply(letter, b"m" * 16, step, ("threat",), "Come\x1b[31m here.\nNow.")
    replies = ReplyStore(stores.database, clock, SystemEntropy())
    await replies.add(reply)
    assert await replies.appeal(letter) == (step is Step.REFUSE)
    await stores.close()


def test_held_replies_are_listed_and_decided_about(file: Path, run: Run) -> None:
    first, second = [one["id"] for one in json.loads(run("list", "--json").out)]
    assert "no reply waits" in run("replies").out
    for letter in (first, second):
        asyncio.run(_answer(file, letter))
    shown = run("replies").out
    assert f"{first}  ends in" in shown
    assert "held for threat" in shown
    assert "    Now." in shown
    assert "\x1b" not in shown
    told = json.loads(run("replies", "--json").out)
    assert [(one["letter"], one["rules"]) for one in told] == [(one, ["threat"]) for one in sorted((first, second))]
    assert run("reply", first, "burn", "--reason", "x").status == 2
    assert run("reply", first, "show", "--reason", " ").status == 2
    assert run("reply", first, "show", "--reason", "a joke between them").out == "shown\n"
    assert run("reply", second, "delete", "--reason", "a threat").out == "deleted\n"
    assert run("reply", second, "show", "--reason", "x").status == 1
    logged = json.loads(run("log", "--json").out)
    assert [(one["subject"], one["reason"]) for one in logged] == [(second, "a threat"), (first, "a joke between them")]


def test_a_contested_reply_is_told_from_a_held_one(file: Path, run: Run) -> None:
    first, second = [one["id"] for one in json.loads(run("list", "--json").out)]
    asyncio.run(_answer(file, first))
    asyncio.run(_answer(file, second, Step.REFUSE))
    assert run("replies").out.count("refused, and contested for threat") == 1
    told = json.loads(run("replies", "--json").out)
    assert {one["letter"]: one["contested"] for one in told} == {first: False, second: True}
