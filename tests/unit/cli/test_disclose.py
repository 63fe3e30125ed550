"""`leak sealed` and `leak disclose`: keys made offline, a record opened on a basis, an entry that nobody can drop."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.cli.lab import be_custodian
from relay.client.contract import Letter
from relay.clock import SystemClock
from relay.ids import SystemEntropy
from relay.opening import open_stores
from relay.settings import load_settings
from tests.support.command import REPOSITORY, Ran, leak
from web.letter_table import DatabaseLetterStore
from web.letters import Departure, Left, NewLetter, hash_secret
from web.sealing import SealingKeys, SenderRecord, month_of


async def send_letter(file: Path, public: Path) -> None:
    """A letter of somebody at 203.0.113.9, as the front keeps it; the relay has it as m1."""
    clock = SystemClock()
    key = SealingKeys(public).at(clock.now())
    assert key is not None
    stores = await open_stores(load_settings(file), clock, SystemEntropy())
    letters = DatabaseLetterStore(stores.database)
    await letters.prepare()
    mail = Letter("l@leak.example", "A friend", "ann@b.example", "s", "t", "<p>t", "letters", "id0")
    sealed = key.seal(SenderRecord(clock.now(), "203.0.113.9", 4711), "id0")
    letter = NewLetter("id0", hash_secret("s"), "en", "friend", mail, sealed=sealed)
    await letters.add(letter, clock.now(), Departure(clock.now() + timedelta(days=1)))
    await letters.note_handed_over("id0", "m1", Left(clock.now(), b"place"))
    await stores.close()


def test_one_record_is_opened_and_the_audit_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, custody = tmp_path / "relay.toml", tmp_path / "custody"
    file.write_text('[spool]\nurl = "sqlite:spool.db"\n')

    def run(*words: str | Path) -> Ran:
        return leak(capsys, "--config", file, *words)

    assert run("sealed", "new-keys", custody, "--months", "2").status == 0
    assert run("sealed", "new-keys", custody, "--months", "3").out.startswith("1 key made")
    private = custody / "private" / f"{month_of(SystemClock().now())}.pem"
    assert private.stat().st_mode & 0o777 == 0o600
    asyncio.run(send_letter(file, custody / "public"))
    spool = (tmp_path / "spool.db").read_bytes()
    assert b"203.0.113.9" not in spool

    nameless = ("disclose", "m1", "--key", private, "--case", "26/7", "--basis", "crime", "--by", " ")
    assert (run(*nameless).status, "name the person" in run(*nameless).err) == (2, True)
    halves = {custody / "public" / private.name: "is a public half", tmp_path / "none.pem": "No such file"}
    for half, words in halves.items():
        got = run("disclose", "m1", "--key", half, "--case", "26/7", "--basis", "crime", "--by", "Ann")
        assert (got.status, got.out, words in got.err) == (2, "", True)
    asked = ("disclose", "m1", "--key", private, "--case", "26/7", "--by", "Ann")
    assert run(*asked, "--basis", "curiosity").status == 2
    assert json.loads(run("sealed", "audit", "--json").out)["entries"] == []
    refused = run(*asked, "--basis", "insult")
    assert (refused.status, refused.out) == (2, "")
    assert "as refused (entry 1)" in refused.err
    lawyer = ("--case", "26/8", "--basis", "private-request", "--by", "Ann")
    assert run("sealed", "refuse", "m1", *lawyer, "--reason", " ").status == 2
    assert run("sealed", "refuse", "ann@b.example", *lawyer, "--reason", "No order.").status == 2
    assert run("sealed", "refuse", "id0", *lawyer, "--reason", "ann@b.example has none.").status == 2
    assert run("sealed", "refuse", "m1", *lawyer, "--reason", "No order.").out.startswith("refused, as entry 2")
    done = run(*asked, "--basis", "crime", "--json")
    assert done.status == 0, done.err
    record = json.loads(done.out)
    assert (record["ip"], record["port"]) == ("203.0.113.9", 4711)
    doubted = run(*asked, "--basis", "insult", "--second", "Bob", "--reason", "a court will say")
    assert "203.0.113.9" in doubted.out

    other = tmp_path / "case"
    run("sealed", "new-keys", other, "--months", "1")
    case_key = next((other / "public").iterdir())
    assert run(*asked, "--basis", "crime", "--reseal", case_key).status == 0
    assert run(*asked, "--basis", "crime").status == 1, "the month's key opens it no more"
    theirs = ("--key", next((other / "private").iterdir()), "--case", "26/7", "--by", "Ann", "--basis", "crime")
    assert "203.0.113.9" in run("disclose", "id0", *theirs).out

    over = ("sealed", "delete", "m1", "--basis", "crime", "--by", "Ann", "--reason")
    assert run(*over, " ", "--case", "26/7").status == 2
    assert run(*over, "Closed.", "--case", "26/8").status == 1, "it is not kept for that case"
    asks = ("requests", "note", "--case", "26/9", "--authority", "Tribunal", "--basis", "crime", "--by", "Ann")
    assert run(*asks, "--kind", "production", "--letter", "m1").status == 0
    still = run(*over, "Closed.", "--case", "26/7")
    assert (still.status, "close 26/9 first" in still.err) == (1, True), "another authority waits for it"
    assert run("requests", "close", "1", "--outcome", "withdrawn", "--by", "Ann", "--reason", "r").status == 0
    assert run(*over, "Closed.", "--case", "26/7").out.startswith("deleted, as entry 9")
    assert run(*over, "Closed.", "--case", "26/7").status == 1
    assert "there is no record" in run("disclose", "id0", *theirs).err

    audit = json.loads(run("sealed", "audit", "--json").out)
    assert audit["broken"] is None
    actions = ["refuse", "refuse", "disclose", "disclose", "reseal", "disclose", "receive", "answer", "delete"]
    assert [entry["action"] for entry in audit["entries"]] == actions
    assert [(entry["letter"], entry["case"], entry["basis"]) for entry in audit["entries"][:2]] == [
        ("id0", "26/7", "insult"),
        ("id0", "26/8", "private-request"),
    ]
    assert audit["entries"][3]["second"] == "Bob"


def test_a_changed_audit_ends_no_opening_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever owns the database can change it past its rules: a court still gets its answer, and an entry says so."""
    file, custody = tmp_path / "relay.toml", tmp_path / "custody"
    file.write_text('[spool]\nurl = "sqlite:spool.db"\n')

    def run(*words: str | Path) -> Ran:
        return leak(capsys, "--config", file, *words)

    run("sealed", "new-keys", custody, "--months", "1")
    asyncio.run(send_letter(file, custody / "public"))
    asked = ("disclose", "m1", "--key", next((custody / "private").iterdir()), "--by", "Ann", "--basis", "crime")
    first = run(*asked, "--case", "26/7")
    assert re.search(r"entry 1 of the audit says so; .* its hash is ([0-9a-f]{64})", first.err), first.err
    assert "was changed" not in first.err
    run(*asked, "--case", "26/8")
    with sqlite3.connect(tmp_path / "spool.db") as database:
        rules = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'web_audit'")
        for (name,) in rules.fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE web_audit SET entry = 'nothing was opened' WHERE n = 1")
    database.close()
    opened = run(*asked, "--case", "26/9", "--json")
    assert opened.status == 0, opened.err
    assert json.loads(opened.out)["ip"] == "203.0.113.9"
    assert "entry 1 is not as it was written" in opened.err
    audit = run("sealed", "audit", "--json")
    assert audit.status == 1
    told = json.loads(audit.out)
    assert told["broken"] == 1
    assert [entry["action"] for entry in told["entries"]] == ["unreadable", "disclose", "disclose"]
    assert told["entries"][2]["audit"] == "broken at entry 1"
    exported = run("requests", "export", "26/9")
    assert (exported.status, len(exported.out.splitlines())) == (1, 4)
    noted = ("requests", "note", "--case", "26/9", "--authority", "TJ Brest", "--by", "Ann", "--basis", "e-evidence")
    assert run(*noted, "--kind", "production", "--letter", "m1").status == 0
    handed = run("sealed", "export", "26/9", tmp_path / "case.sealed", "--by", "Ann")
    assert handed.status == 0, handed.err
    assert "entry 1 is not as it was written" in handed.err


def test_a_custodian_reads_the_fingerprints_that_the_privacy_page_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    public = tmp_path / "public"
    assert leak(capsys, "sealed", "new-keys", tmp_path, "--from", "2026-11", "--months", "2").status == 0
    told = json.loads(leak(capsys, "sealed", "fingerprints", public, "--json").out)
    assert told == [{"month": key.name, "fingerprint": key.fingerprint} for key in SealingKeys(public)]
    assert [one["month"] for one in told] == ["2026-11", "2026-12"]
    assert told[1]["fingerprint"] in leak(capsys, "sealed", "fingerprints", public).out
    (public / "2026-12.pem").unlink()  # as if it had been cut off between the halves
    assert leak(capsys, "sealed", "new-keys", tmp_path, "--from", "2026-11", "--months", "2").out.startswith("1 key ")
    assert json.loads(leak(capsys, "sealed", "fingerprints", public, "--json").out) == told
    private = leak(capsys, "sealed", "fingerprints", tmp_path / "private")
    assert private.status == 2
    assert "belongs offline" in private.err


def test_the_lab_is_its_own_custodian(tmp_path: Path) -> None:
    file = tmp_path / "config" / "lab.toml"
    file.parent.mkdir()
    file.write_bytes((REPOSITORY / "config" / "lab.toml").read_bytes())
    be_custodian(file)
    sealed, this = tmp_path / "var" / "lab" / "sealed", f"{month_of(SystemClock().now())}.pem"
    public = (sealed / "public" / this).read_bytes()
    assert (sealed / "private" / this).stat().st_mode & 0o777 == 0o600
    be_custodian(file)
    assert (sealed / "public" / this).read_bytes() == public


def test_keys_past_their_time_are_destroyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leak(capsys, "sealed", "new-keys", tmp_path, "--from", "2020-01", "--months", "2")
    leak(capsys, "sealed", "new-keys", tmp_path, "--months", "1")
    copy, opened = tmp_path / "copy.pem", list[int]()
    copy.hardlink_to(tmp_path / "private" / "2020-01.pem")
    looks = True

    def look(event: str, about: tuple[Any, ...]) -> None:
        if looks and event == "open" and str(about[0]).endswith("/2020-01.pem"):
            opened.append(about[2])

    sys.addaudithook(look)
    assert leak(capsys, "sealed", "destroy", tmp_path / "private", "--yes").out.startswith("destroyed 2")
    looks = False
    assert set(copy.read_bytes()) == {0}
    assert opened
    assert not any(flags & os.O_TRUNC for flags in opened), "its blocks were given back with the key in them"
    assert len(list((tmp_path / "private").iterdir())) == 1
    assert "nothing to destroy" in leak(capsys, "sealed", "destroy", tmp_path / "private", "--yes").out


def test_requests_are_noted_listed_closed_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, custody = tmp_path / "relay.toml", tmp_path / "custody"
    file.write_text('[spool]\nurl = "sqlite:spool.db"\n')

    def run(*words: str | Path) -> Ran:
        return leak(capsys, "--config", file, *words)

    run("sealed", "new-keys", custody, "--months", "1")
    asyncio.run(send_letter(file, custody / "public"))
    assert "production" in run("requests", "kinds").out
    asked = ("requests", "note", "--case", "26/9", "--authority", "TJ Brest", "--by", "Ann", "--basis")
    assert "--due is needed" in run(*asked, "crime").err
    assert run(*asked, "crime", "--kind", "whim").status == 2
    assert run(*asked, "crime", "--due", "soon").status == 2
    assert run(*asked, "curiosity", "--kind", "production").status == 2
    assert "nobody waits" in run("requests", "list").out
    assert run(*asked, "e-evidence", "--kind", "production", "--letter", "m1").out.startswith("noted as request 1")
    doubted = run(*asked, "insult", "--received", "2026-01-02T08:00", "--due", "2026-01-05T10:00+01:00").out
    assert "2026-01-05 09:00 UTC, overdue" in doubted
    assert "its basis is doubted" in doubted
    assert "no record of this letter" not in doubted
    listed = run("requests", "list")
    assert (listed.status, listed.err.split()[-2:]) == (1, ["overdue:", "2"])
    assert run("requests", "close", "2", "--outcome", "ignored", "--by", "Ann", "--reason", "r").status == 2
    assert run("requests", "close", "2", "--outcome", "refused", "--by", "Ann", "--reason", " ").status == 2
    named = run("requests", "close", "2", "--outcome", "refused", "--by", "Ann", "--reason", "Ask ann@b.example.")
    assert (named.status, "cannot be erased" in named.err) == (2, True)
    done = ("--outcome", "refused", "--by", "Ann", "--reason", "A fine alone.")
    assert run("requests", "close", "2", *done).out == "closed: refused\n"
    assert run("requests", "close", "2", *done).status == 1
    rows = json.loads(run("requests", "list", "--json").out)
    assert [(row["n"], row["letter"], row["seconds_left"] > 860_000) for row in rows] == [(1, "id0", True)]
    rows = json.loads(run("requests", "list", "--all", "--json").out)
    assert [(row["n"], row["outcome"]) for row in rows] == [(2, "refused"), (1, None)]
    assert "TJ Brest" in run("sealed", "audit").out
    assert "no record of this letter" in run(*asked, "crime", "--due", "2100-01-01", "--letter", "nosuch").out

    lines = run("requests", "export", "26/9")
    assert (lines.status, len(lines.out.splitlines())) == (0, 5)
    kept = tmp_path / "export.jsonl"
    kept.write_text(lines.out)
    verified = leak(capsys, "requests", "verify", kept)
    assert verified.out.startswith("whole: 4 of 4 entries are of case 26/9")
    kept.write_text(lines.out.replace("A fine", "No fine"))
    assert "entry 3 is not as it was written" in leak(capsys, "requests", "verify", kept).err
