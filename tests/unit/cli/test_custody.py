"""A sealed record goes to its custodian in a file, is opened there without a database, and the audit learns of it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from relay.clock import SystemClock
from tests.support.command import Ran, leak
from tests.unit.cli.test_disclose import send_letter
from web.sealing import SealingKeys, month_of

SENDER = "203.0.113.9"


@dataclass
class Custody:
    """A server with one letter of somebody, and a custodian's machine that has its keys alone."""

    server: Path
    desk: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def key(self) -> Path:
        return self.desk / "private" / f"{month_of(SystemClock().now())}.pem"

    @property
    def file(self) -> Path:
        return self.desk / "case.sealed"

    def run(self, *words: str | Path) -> Ran:
        """A command on the server."""
        return leak(self.capsys, "--config", self.server / "relay.toml", *words)

    def away(self, *words: str | Path) -> Ran:
        """A command where there is neither configuration nor database."""
        return leak(self.capsys, "--config", self.desk / "none.toml", *words)

    def note(self, case: str, basis: str, letter: str = "m1") -> Ran:
        said = ("--case", case, "--authority", "TJ Brest", "--basis", basis, "--by", "Ann")
        return self.run("requests", "note", *said, "--due", "2100-01-01", *(("--letter", letter) if letter else ()))

    def export(self, case: str, file: Path | None = None) -> Ran:
        return self.run("sealed", "export", case, file or self.file, "--by", "Ann")

    def open(self, *more: str | Path) -> Ran:
        return self.away("sealed", "open", self.file, "--key", self.key, "--by", "Cleo", *more)

    def actions(self) -> list[str]:
        audit = json.loads(self.run("sealed", "audit", "--json").out)
        assert audit["broken"] is None
        return [entry["action"] for entry in audit["entries"]]


@pytest.fixture
def custody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Custody]:
    server, desk = tmp_path / "server", tmp_path / "desk"
    server.mkdir()
    (server / "relay.toml").write_text('[spool]\nurl = "sqlite:spool.db"\n[web]\nsealed_keys = "sealed"\n')
    assert leak(capsys, "sealed", "new-keys", desk, "--months", "1").status == 0
    (desk / "public").rename(server / "sealed")
    asyncio.run(send_letter(server / "relay.toml", server / "sealed"))
    yield Custody(server, desk, capsys)
    clear = SENDER.encode()
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert clear not in path.read_bytes(), f"{path.name} tells who wrote it"


def test_a_record_goes_to_its_custodian_and_the_audit_comes_back(custody: Custody) -> None:  # SND 5
    assert "no request of case 26/7 is open" in custody.export("26/7").err
    custody.note("26/7", "crime")
    handed = custody.export("26/7")
    assert handed.status == 0, handed.err
    assert custody.file.stat().st_mode & 0o777 == 0o600
    digest = hashlib.sha256(custody.file.read_bytes()).hexdigest()
    assert digest in handed.out
    assert "entry 2 of the audit" in handed.out

    verified = custody.away("sealed", "verify", custody.file, "--json")
    assert verified.status == 0, verified.err
    said = json.loads(verified.out)
    (record,) = said["records"]
    (key,) = SealingKeys(custody.server / "sealed")
    assert (said["case"], said["by"], said["sha256"]) == ("26/7", "Ann", digest)
    assert (record["letter"], record["request"], record["basis"]) == ("id0", 1, "crime")
    assert (record["key"], record["fingerprint"]) == (key.name, key.fingerprint)
    assert said["audit"]["entries"] == 2
    with closing(apsw.Connection(str(custody.server / "spool.db"))) as database:
        ((last,),) = database.execute("SELECT hash FROM web_audit WHERE n = 2")
        ((sealed,),) = database.execute("SELECT record FROM web_sealed")
    assert said["audit"]["last"] == last.hex()
    assert record["sha256"] == hashlib.sha256(sealed).hexdigest()
    assert digest in custody.away("sealed", "verify", custody.file).out

    opened = custody.open("--json")
    assert opened.status == 0, opened.err
    assert (json.loads(opened.out)["ip"], json.loads(opened.out)["port"]) == (SENDER, 4711)
    note = custody.desk / "case.sealed.note-1.json"
    assert note.stat().st_mode & 0o777 == 0o600
    assert custody.actions() == ["receive", "export"], "the server does not know yet"
    assert "entry 3 of the audit" in custody.run("sealed", "import", note, "--by", "Ann").out
    again = custody.run("sealed", "import", note, "--by", "Ann")
    assert (again.status, "entry 3 of the audit says so already" in again.out) == (0, True)
    assert custody.actions() == ["receive", "export", "disclose"]
    entry = json.loads(custody.run("sealed", "audit", "--json").out)["entries"][2]
    assert (entry["by"], entry["brought_by"], entry["letter"], entry["case"]) == ("Cleo", "Ann", "id0", "26/7")
    assert (entry["record"], entry["export"]) == (record["sha256"], digest)


def test_a_file_is_written_whole_or_not_and_replaces_none(custody: Custody) -> None:
    custody.note("26/7", "crime", letter="")
    assert "no request of case 26/7 names a letter" in custody.export("26/7").err
    custody.note("26/7", "crime", letter="nosuch")
    gone = custody.export("26/7")
    assert (gone.status, custody.file.exists()) == (1, False)
    assert "no record of letter nosuch" in gone.err
    assert "export" not in custody.actions()
    custody.file.write_text("mine")
    custody.note("26/7", "crime")
    taken = custody.export("26/7")
    assert (taken.status, custody.file.read_text()) == (2, "mine")
    assert "export" not in custody.actions(), "a slip leaves no entry"
    assert custody.export("26/7", custody.desk / "nowhere" / "case").status == 2
    other = custody.desk / "other"
    partly = custody.export("26/7", other)
    assert partly.status == 0
    assert "no record of letter nosuch" in partly.err
    assert [path for path in custody.desk.iterdir() if path.name.startswith(".")] == []


def test_whatever_was_changed_in_a_file_shows(custody: Custody) -> None:
    custody.note("26/7", "crime")
    custody.note("26/8", "crime", letter="")
    custody.export("26/7")
    whole = custody.file.read_bytes()
    assert b"26/8" not in whole, "another case is not told"
    lines = whole.split(b"\n")
    head, record = json.loads(lines[0]), json.loads(lines[1])
    forged = base64.b64encode(bytes(len(base64.b64decode(record["sealed"])))).decode()
    fitting = {
        **head,
        "records": [{**head["records"][0], "sha256": hashlib.sha256(base64.b64decode(forged)).hexdigest()}],
    }
    exchanged = [json.dumps(fitting).encode(), json.dumps({**record, "sealed": forged}).encode(), *lines[2:]]
    for name, content, complaint in (
        ("record", whole.replace(record["sealed"].encode(), forged.encode()), "record 1 is not as it was written"),
        ("manifest and record", b"\n".join(exchanged), "its audit has no export of the record of id0"),
        ("audit", whole.replace(b"TJ Brest", b"TJ Paris"), "its audit is not as it was written"),
        ("end", b"\n".join([*lines[:-2], b""]), "its audit is not as it was written"),
        ("head", whole.replace(b'"entries": 3', b'"entries": 9', 1), "its audit does not end as its manifest says"),
        ("torn", whole[:-9], "cut off"),
        ("case", whole.replace(b'"case": "26/7"', b'"case": "26/9"', 1), "its audit is of another case"),
        ("version", whole.replace(b'"version": 1', b'"version": 2', 1), "of version 2"),
        ("number", whole.replace(b'"request": 1,', b'"request": 1e999,', 1), "no export of sealed records"),
        ("letter", whole.replace(b'"by": "Ann"', b'"by": "\\udcff"', 1), "no export of sealed records"),
        ("other", b"{}\n", "no export of sealed records"),
        ("empty", b"", "no export of sealed records"),
    ):
        custody.file.write_bytes(content)
        seen = custody.away("sealed", "verify", custody.file)
        assert (seen.status, complaint in seen.err) == (1, True), (name, seen.err)
        assert custody.open().status == 1, name
    assert list(custody.desk.glob("*.note-*")) == [], "nothing was opened"


def test_the_wrong_key_and_a_doubted_basis_open_nothing(custody: Custody) -> None:
    custody.note("26/7", "insult")
    assert "takes a second person and a reason" in custody.export("26/7").err
    refused = custody.open()
    assert (refused.status, refused.out) == (2, "")
    first = custody.desk / "case.sealed.note-1.json"
    assert "A second person and a reason are needed" in refused.err
    assert json.loads(first.read_text())["action"] == "refuse"
    answered = ("--second", "Bob", "--reason", "A judge says so.")
    custody.away("sealed", "new-keys", custody.desk / "wrong", "--months", "1")
    wrong = custody.away(
        *("sealed", "open", custody.file, "--key", custody.desk / "wrong" / "private" / custody.key.name),
        *("--by", "Cleo", *answered),
    )
    assert wrong.status == 1
    assert "is another key, fingerprint" in wrong.err
    taken = custody.open(*answered, "--note", first)
    assert (taken.status, taken.out) == (1, ""), "without its note nothing is shown"
    nowhere = custody.open(*answered, "--note", custody.desk / "nowhere" / "note")
    assert (nowhere.status, nowhere.out, "nothing was opened" in nowhere.err) == (1, "", True)
    assert SENDER in custody.open(*answered).out
    assert custody.open(*answered, "--letter", "id1").status == 2
    notes = sorted(custody.desk.glob("case.sealed.note-*.json"))
    assert len(notes) == 2
    assert custody.run("sealed", "import", *notes, "--by", "Ann").status == 0
    assert custody.actions() == ["receive", "export", "refuse", "disclose"]


def test_a_file_that_leaves_the_doubt_out_opens_no_doubted_basis(custody: Custody) -> None:
    custody.note("26/7", "insult")
    custody.export("26/7")
    first, _, rest = custody.file.read_bytes().partition(b"\n")
    head = json.loads(first)
    assert head["bases"]["insult"]["doubt"]
    head["bases"]["insult"]["doubt"] = ""
    custody.file.write_bytes(json.dumps(head).encode() + b"\n" + rest)
    assert custody.away("sealed", "verify", custody.file).status == 0, "nothing but its SHA-256 tells"
    refused = custody.open()
    assert (refused.status, refused.out) == (2, "")
    assert json.loads((custody.desk / "case.sealed.note-1.json").read_text())["action"] == "refuse"
    assert SENDER in custody.open("--second", "Bob", "--reason", "A judge says so.").out


def test_a_record_is_sealed_anew_away_from_the_server(custody: Custody) -> None:
    custody.note("26/7", "crime")
    custody.export("26/7")
    case = custody.desk / "case"
    custody.away("sealed", "new-keys", case, "--months", "1")
    public, private = next((case / "public").iterdir()), next((case / "private").iterdir())
    resealed = custody.open("--reseal", public)
    assert (resealed.status, SENDER in resealed.out) == (0, False)
    assert custody.open("--reseal", public).status == 0
    notes = sorted(custody.desk.glob("case.sealed.note-*.json"))
    said = json.loads(notes[0].read_text())
    torn = custody.desk / "torn.json"
    torn.write_text(json.dumps({**said, "sealed": said["sealed"][:-8]}))
    lost = custody.run("sealed", "import", torn, "--by", "Ann")
    assert (lost.status, "is no sealed record" in lost.err) == (1, True), "the record would be gone"
    assert custody.run("sealed", "import", notes[0], "--by", "Ann").status == 0
    twice = custody.run("sealed", "import", notes[1], "--by", "Ann")
    assert (twice.status, "no longer here as it was exported" in twice.err) == (1, True)
    kept = ("disclose", "id0", "--case", "26/7", "--basis", "crime", "--by", "Ann", "--key")
    assert custody.run(*kept, custody.key).status == 1
    assert SENDER in custody.run(*kept, private).out
    assert custody.actions() == ["receive", "export", "reseal", "disclose"]
    custody.file.unlink()
    custody.export("26/7")
    (record,) = json.loads(custody.away("sealed", "verify", custody.file, "--json").out)["records"]
    assert (record["key"], record["fingerprint"]) == ("case-26/7", "")
    custody.desk.joinpath("private").rename(custody.desk / "old")
    (custody.desk / "private").mkdir()
    private.rename(custody.key)
    assert SENDER in custody.open().out


def test_a_threat_to_life_is_handed_over_unasked(custody: Custody) -> None:  # RCP 8
    row = ("id0", "life-x7", 0, 0, "en", "threat", "", "", "", "", "", "17 was called.")
    columns = (
        "letter_id, case_id, at, created, language, rules, sender_name, recipient, subject, message, words, reason"
    )
    with closing(apsw.Connection(str(custody.server / "spool.db"))) as database:
        database.execute(f"INSERT INTO web_danger ({columns}) VALUES ({', '.join('?' * len(row))})", row)
    handed = custody.export("life-x7")
    assert handed.status == 0, handed.err
    (record,) = json.loads(custody.away("sealed", "verify", custody.file, "--json").out)["records"]
    assert (record["letter"], record["request"], record["basis"]) == ("id0", 0, "threat-to-life")
    assert custody.open().status == 2, "unasked, a second person answers for it"
    assert SENDER in custody.open("--second", "Bob", "--reason", "A life.").out


def test_only_what_was_exported_comes_back(custody: Custody) -> None:
    custody.note("26/7", "crime")
    custody.export("26/7")
    custody.open()
    note = custody.desk / "case.sealed.note-1.json"
    said = json.loads(note.read_text())
    for name, changed, complaint in (
        ("case", {**said, "case": "26/8"}, "no export of this record for case 26/8"),
        ("record", {**said, "record": "0" * 64}, "no export of this record"),
        ("action", {**said, "action": "answer"}, "no note of an opening"),
        ("reseal", {**said, "action": "reseal"}, "no note of an opening"),
        ("list", [], "no note of an opening"),
    ):
        note.write_text(json.dumps(changed))
        seen = custody.run("sealed", "import", note, "--by", "Ann")
        assert (seen.status, complaint in seen.err) == (1, True), (name, seen.err)
    assert custody.actions() == ["receive", "export"]
    note.write_text(json.dumps({**said, "reason": "\udcff"}))
    assert "no note of an opening" in custody.run("sealed", "import", note, "--by", "Ann").err
    note.write_text(json.dumps(said))
    assert "entry 3 of the audit" in custody.run("sealed", "import", note, "--by", "Ann").out
    note.write_text(json.dumps(said, indent=4))
    assert "entry 3 of the audit says so already" in custody.run("sealed", "import", note, "--by", "Ann").out


def test_an_expert_checks_a_file_without_this_program(custody: Custody) -> None:
    custody.note("26/7", "crime")
    custody.export("26/7")
    # As docs/disclosure.md tells.
    first, *lines = custody.file.read_bytes().splitlines(keepends=True)
    head = json.loads(first)
    for said, line in zip(head["records"], lines, strict=False):
        assert hashlib.sha256(base64.b64decode(json.loads(line)["sealed"])).hexdigest() == said["sha256"]
    audit = b"".join(lines[len(head["records"]) :])
    assert hashlib.sha256(audit).hexdigest() == head["audit"]["sha256"]


def test_an_exercise_goes_the_way_of_an_order_and_hides_nothing(custody: Custody) -> None:
    """The commands of docs/disclosure.md, "An exercise"."""
    said = ("--case", "drill-1", "--authority", "ourselves", "--basis", "drill", "--kind", "emergency")
    noted = custody.run("requests", "note", *said, "--letter", "m1", "--by", "Ann")
    assert "noted as request 1" in noted.out, noted.err
    assert custody.export("drill-1").status == 0
    alone = custody.open()
    assert (alone.status, SENDER in alone.out) == (2, False), "two people, as for any doubted basis"
    opened = custody.open("--second", "Ann", "--reason", "Ann's own letter.")
    assert (opened.status, SENDER in opened.out) == (0, True), opened.err
    assert custody.run("sealed", "import", custody.desk / "case.sealed.note-2.json", "--by", "Ann").status == 0
    closed = custody.run("requests", "close", "1", "--outcome", "granted", "--by", "Ann", "--reason", "40 minutes.")
    assert closed.status == 0, closed.err
    assert custody.actions() == ["receive", "export", "disclose", "answer"]
