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
    frozen = run("refuse", "id1", "--rule", "threat", "--reason", "It threatens.", "--freeze")
    assert (frozen.status, "nobody is kept from its recipient" in frozen.out) == (0, True), "no pair is known of it"
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


async def _offer(path: Path) -> None:
    clock = SystemClock()
    stores = await open_stores(load_settings(path), clock, SystemEntropy())
    rows = [(f"id{n}", "queued", "en", "friend", n, f"Dear Paul, thank you for evening {n}.") for n in range(3)]
    sql = "INSERT INTO web_post (letter_id, state, language, signature, due, words) VALUES (?, ?, ?, ?, ?, ?)"
    await stores.database.write(lambda connection: connection.executemany(sql, rows))
    await stores.close()


def test_the_wall_is_kept_without_a_browser(file: Path, run: Run, tmp_path: Path) -> None:
    asyncio.run(_offer(file))
    offered = json.loads(run("wall", "--json").out)["offered"]
    assert [(one["letter"], one["proposed"]) for one in offered] == [
        (f"id{n}", f"Dear […], thank you for evening {n}.") for n in range(3)
    ]
    assert "Dear Paul" in run("wall").out
    assert run("post", "id0", "publish", "--reason", " ").status == 2
    assert run("post", "id0", "shout", "--reason", "r").status == 2
    assert run("post", "id0", "decline", "--shown", file, "--reason", "r").status == 2
    assert run("post", "id0", "publish", "--shown", tmp_path / "none", "--reason", "r").status == 2
    mended = tmp_path / "mended.txt"
    mended.write_text(" \n", encoding="utf-8")
    assert "nothing to show" in run("post", "id0", "publish", "--shown", mended, "--reason", "r").err
    mended.write_text("Thank you, whoever you are.", encoding="utf-8")
    assert run("post", "id0", "publish", "--shown", mended, "--reason", "kind").out == "published\n"
    assert run("post", "id1", "publish", "--reason", "kind").out == "published\n"
    assert run("post", "id2", "decline", "--reason", "says too much").out == "declined\n"
    told = json.loads(run("wall", "--json").out)
    assert told["offered"] == []
    assert {(one["letter"], one["shown"]) for one in told["shown"]} == {
        ("id0", "Thank you, whoever you are."),
        ("id1", "Dear […], thank you for evening 1."),
    }
    assert run("post", "id1", "take-down", "--reason", "a name").out == "taken down\n"
    assert run("post", "id1", "take-down", "--reason", "a name").status == 1
    assert "evening 1" not in run("wall").out
    actions = [(row["subject"], row["action"]) for row in json.loads(run("log", "--json").out)]
    assert sorted(actions) == [("id0", "publish"), ("id1", "publish"), ("id1", "take-down"), ("id2", "decline")]


def test_a_threat_to_life_is_kept_without_a_browser(run: Run) -> None:
    assert "no letter is frozen" in run("cases").out
    assert run("danger", "id0", "--reason", " ").status == 2
    frozen = run("danger", "id0", "--reason", "He names a day.")
    assert frozen.status == 0, frozen.err
    assert "112" in frozen.out
    assert "nobody is kept from its recipient" in frozen.out, "sent without limits: no pair is known"
    assert run("danger", "id0", "--reason", "Again.").status == 1
    assert [row["id"] for row in json.loads(run("list", "--json").out)] == ["id1"]
    (case,) = json.loads(run("cases", "--json").out)
    assert case["case"] in frozen.out
    assert (case["letter"], case["recipient"], case["reason"], case["told"]) == (
        "id0", "ann@b.example", "He names a day.", None,
    )  # fmt: skip
    shown = run("cases").out
    assert "AUTHORITIES NOT TOLD YET" in shown
    assert "Words 0" in shown
    assert "\x1b" not in shown
    assert run("case", "id0", "forget", "--reason", "r").status == 2
    assert run("case", "id0", "told", "--reason", "17, Officer Le Gall").status == 0
    assert run("case", "id0", "told", "--reason", "twice").status == 1
    assert "authorities told" in run("cases").out
    assert run("case", "id0", "close", "--reason", "It is over.").status == 0
    assert run("case", "id0", "close", "--reason", "twice").status == 1
    assert "no letter is frozen" in run("cases").out
