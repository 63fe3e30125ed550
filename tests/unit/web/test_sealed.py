"""Sealed sender records: nothing in clear anywhere, opened by the offline key alone, and every opening audited."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from relay.database.backup import backup
from relay.database.contract import Connection, Database
from relay.database.sqlite import SqliteDatabase
from relay.errors import ConfigurationError
from tests.support.front import OPTIONS, running_front
from tests.support.hand_clock import HandClock
from tests.support.log_text import log_text
from tests.support.visitor import Visitor
from web.audit import Audit, Disclosure
from web.disclosure import Requests, count_requests, doubt_about, load_bases, unusable
from web.letter_table import DatabaseLetterStore
from web.sealed_store import SealedStore
from web.sealing import (
    Sealed,
    SealError,
    SealingKey,
    SealingKeys,
    SenderRecord,
    months_from,
    new_key_pair,
    oldest_kept,
    open_sealed,
    read_private_key,
)

SENDER = "203.0.113.77"
PORT = 41_234
RECORD = SenderRecord(datetime(2026, 11, 22, 7, 1, 2, 345_000, tzinfo=UTC), SENDER, PORT)
ASKED = Disclosure("letter", "26/123", "crime", "Ann")


def make_keys(folder: Path, *months: str) -> Path:
    """A custodian's two folders: `private` and `public`."""
    for name in ("private", "public"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for month in months:
        private, public = new_key_pair()
        (folder / "private" / f"{month}.pem").write_bytes(private)
        (folder / "public" / f"{month}.pem").write_bytes(public)
    return folder


def _fingerprint(path: Path) -> str:
    """As `openssl pkey -pubin -outform DER | sha256sum` says it."""
    return hashlib.sha256(base64.b64decode("".join(path.read_text().splitlines()[1:-1]))).hexdigest()


def test_a_record_is_opened_by_its_key_for_its_letter_alone() -> None:
    private = X25519PrivateKey.generate()
    key = SealingKey("2026-11", private.public_key())
    sealed = key.seal(RECORD, "letter")
    assert open_sealed(sealed, private, "letter") == RECORD
    assert key.seal(RECORD, "letter").data != sealed.data
    for wrong in (X25519PrivateKey.generate(), private):
        with pytest.raises(SealError, match="2026-11"):
            open_sealed(sealed, wrong, "another" if wrong is private else "letter")
    with pytest.raises(SealError):
        open_sealed(Sealed("2026-12", sealed.data), private, "letter")
    with pytest.raises(SealError):
        open_sealed(Sealed("2026-11", b""), private, "letter")


def test_every_record_has_one_length() -> None:  # SND 5
    key = SealingKey("2026-11", X25519PrivateKey.generate().public_key())
    mail = "é" * 32 + "@" + ("é" * 30 + ".") * 4 + "example"
    longest = SenderRecord(RECORD.at, "2001:db8:" + ":".join(["ffff"] * 6), 65_535, mail)
    shortest = SenderRecord(RECORD.at, "192.0.2.1", None)
    assert len({len(key.seal(record, "x").data) for record in (RECORD, longest, shortest)}) == 1


def test_the_key_of_the_month_else_a_later_one(tmp_path: Path) -> None:
    folder = make_keys(tmp_path, "2026-10", "2026-12") / "public"
    keys = SealingKeys(folder)
    months = [keys.at(datetime(2026, month, 1, tzinfo=UTC)) for month in (10, 11, 12)] + [
        keys.at(datetime(2027, 1, 1, tzinfo=UTC))
    ]
    assert [key.name if key else "" for key in months] == ["2026-10", "2026-12", "2026-12", "2026-12"]
    assert not SealingKeys(tmp_path / "missing")
    (folder / "2027-01.pem").write_bytes((tmp_path / "private" / "2026-10.pem").read_bytes())
    with pytest.raises(ConfigurationError, match="belongs offline"):
        SealingKeys(folder)


def test_keys_that_were_copied_meanwhile_are_read(tmp_path: Path) -> None:
    folder = make_keys(tmp_path, "2026-11") / "public"
    keys = SealingKeys(folder)
    make_keys(tmp_path, "2026-12")
    keys.read()
    assert keys.last == "2026-12"
    (folder / "2027-01.pem").write_text("torn")
    with pytest.raises(ConfigurationError):
        keys.read()
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(ConfigurationError, match="no key any more"):
        keys.read()
    assert keys.last == "2026-12", "what was read before is used on"


@pytest.mark.parametrize("seals", [True, False])
async def test_pages_speak_of_a_record_where_one_is_kept(tmp_path: Path, *, seals: bool) -> None:
    keys = make_keys(tmp_path, "2026-11") / "public"
    options = replace(OPTIONS, sealed_keys=keys) if seals else OPTIONS
    async with running_front(tmp_path, HandClock(), options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        _, preview = await visitor.post("/en/preview", {"token": await visitor.preview()})
        assert "nothing on the internet is perfectly anonymous" in preview.text
        assert ("it is sealed so that we cannot read it" in preview.text) is seals
        for language, told in (("en", "The sealed record of a letter"), ("fr", "Le relevé scellé d’une lettre")):
            page = (await visitor.get(f"/{language}/privacy"))[1].text
            assert (told in page) is seals
            help_page = (await visitor.get(f"/{language}/help"))[1].text
            assert ("the law makes us keep" in help_page or "la loi nous oblige" in help_page) is seals
            assert ("the record we hold" in help_page or "ce que nous conservons" in help_page) is seals
            assert (_fingerprint(keys / "2026-11.pem") in page) is seals, "whoever holds the other half can compare"
        status = (await visitor.send(await visitor.preview())).headers["Location"]
        front.relay.settle("delivered")
        _, asked = await visitor.get(f"/en{status}?ask=forget")
        assert ("The sealed record of the connection" in asked.text) is seals


def test_records_live_twelve_to_thirteen_months() -> None:
    assert months_from("2026-11", 3) == ["2026-11", "2026-12", "2027-01"]
    assert oldest_kept(datetime(2027, 11, 30, tzinfo=UTC)) == "2026-11"
    assert oldest_kept(datetime(2027, 12, 1, tzinfo=UTC)) == "2026-12"


def test_a_doubted_basis_needs_a_second_person_and_a_reason() -> None:
    bases = load_bases()
    assert unusable(ASKED, bases) == doubt_about(ASKED, bases["crime"]) == ""
    assert "case" in unusable(replace(ASKED, case=" "), bases)
    assert "no legal basis" in unusable(replace(ASKED, basis="curiosity"), bases)
    assert "never an address" in unusable(replace(ASKED, letter_id="ann@example.org"), bases)
    assert "never an address" in unusable(replace(ASKED, case="ann@example.org"), bases)
    insult = replace(ASKED, basis="insult")
    assert "second person" in doubt_about(insult, bases["insult"])
    assert "second person" in doubt_about(replace(insult, second="Bob"), bases["insult"])
    assert "another" in doubt_about(replace(insult, second="ann ", reason="r"), bases["insult"])
    assert "another" in doubt_about(replace(insult, actor="Ann Lee", second="ann  LEE", reason="r"), bases["insult"])
    assert doubt_about(replace(insult, second="Bob", reason="a court will decide"), bases["insult"]) == ""
    assert "second person" in doubt_about(replace(ASKED, basis="drill"), bases["drill"]), "no way around the others"


@pytest.mark.parametrize("text", ["for ann@b.example", "<Ann+x@b.example>", "ann\uff20b.example"])
def test_what_cannot_be_erased_names_no_address(text: str) -> None:
    named = (replace(ASKED, case=text), replace(ASKED, actor=text), replace(ASKED, second=text))
    for asked in (*named, replace(ASKED, reason=text)):
        assert "cannot be erased" in unusable(asked, load_bases())
    assert unusable(replace(ASKED, second="Bea", reason="Order of 3 May, @ Annecy."), load_bases()) == ""


async def test_an_address_that_comes_by_another_way_is_masked(database: Database) -> None:
    audit = Audit(database, HandClock())
    said = "He writes to (ann@b.example), and from bob.smith@c.example."
    await audit.note(replace(ASKED, reason=said, details={"authority": "mayor@city.example"}))
    (entry,) = await audit.entries()
    assert entry.said["reason"] == "He writes to ([…]), and from […]"
    assert (entry.said["authority"], entry.said["case"]) == ("[…]", "26/123")
    assert await audit.broken_at() is None


def test_a_request_counts_once_however_often_it_was_tried() -> None:  # RCP 12
    def said(action: str, case: str, letter: str = "a", basis: str = "insult") -> dict[str, str]:
        return {"action": action, "case": case, "letter": letter, "basis": basis}

    entries = [
        *(said("refuse", "1"), said("refuse", "1"), said("disclose", "1"), said("refuse", "1")),
        *(said("refuse", "2"), said("refuse", "2"), said("reseal", "2", "b")),
        *(said("preserve", "life-1"), said("disclose", "life-1", basis="threat-to-life"), said("close", "life-1")),
        *(said("receive", "drill-1", basis="drill"), said("disclose", "drill-1", basis="drill")),
    ]
    assert count_requests(entries) == Requests(granted=2, refused=1)
    assert count_requests([]) == Requests()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await SqliteDatabase.open(tmp_path / "front.db")
    await DatabaseLetterStore(opened).prepare()
    yield opened
    await opened.close()


async def test_the_audit_tells_when_it_was_changed(database: Database) -> None:
    store = Audit(database, HandClock())
    assert [await store.note(replace(ASKED, case=f"{n}")) for n in range(3)] == [1, 2, 3]
    assert await store.broken_at() is None
    assert [one.said["case"] for one in await store.entries()] == ["0", "1", "2"]
    for sql in ("DELETE FROM web_audit", "UPDATE web_audit SET entry = ''"):
        with pytest.raises(Exception, match="append-only"):
            await database.write(lambda connection, sql=sql: list(connection.execute(sql)))  # type: ignore[misc]

    def forge(connection: Connection) -> None:
        connection.execute("DROP TRIGGER web_audit_fixed")
        connection.execute("UPDATE web_audit SET entry = replace(entry, '1', '9') WHERE n = 2")

    await database.write(forge)
    assert await store.broken_at() == 2


async def test_records_past_their_time_go_but_not_those_of_a_case(database: Database) -> None:  # SND 5
    clock = HandClock()
    store = SealedStore(database, clock)
    rows = [("a", "2026-11", b"x"), ("b", "2026-12", b"x"), ("c", "case-7", b"x")]
    sql = "INSERT INTO web_sealed (letter_id, key_name, record) VALUES (?, ?, ?)"
    await database.write(lambda connection: connection.executemany(sql, rows))
    clock.move(375 * 86400)
    assert await store.forget() == 1
    assert [bool(await store.find(name)) for name in "abc"] == [False, True, True]


async def test_nothing_of_the_sender_is_anywhere_in_clear(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:  # SND 4, S53, SND 5
    caplog.set_level("DEBUG")
    custody = make_keys(tmp_path / "custody", "2026-11")
    options = replace(OPTIONS, trusted_proxies=("127.0.0.1/32",), sealed_keys=custody / "public")
    async with running_front(tmp_path, options=options) as front, aiohttp.ClientSession() as session:
        visitor = Visitor(front, session)
        agent = "Mozilla/5.0 (Secret; rv:140.0)"
        from_them = {"Forwarded": f'for="{SENDER}:{PORT}"', "User_Agent": agent}
        response = await visitor.send(await visitor.preview(message="Hello"), **from_them)
        assert response.status == 303
        await visitor.get(response.headers["Location"], **from_them)
        await visitor.post("/en/preview", {"token": "none", "action": "send"}, **from_them)
        backup(tmp_path / "front.db", tmp_path / "copy.db", lambda *_: None)
        looked_at = [path for path in tmp_path.iterdir() if path.is_file()]
        assert {"front.db", "front.db-wal", "copy.db"} <= {path.name for path in looked_at}
        packed = bytes(int(part) for part in SENDER.split("."))
        for path in looked_at:
            content = path.read_bytes()
            for trace in (SENDER.encode(), packed, agent.encode(), b"41234"):
                assert trace not in content, (path.name, trace)
        out, err = capfd.readouterr()
        log = log_text(caplog.records)
        assert "message=" in log or "message'" in log, "facts are searched too"
        for told in (log, caplog.text, out, err, repr(list(front.relay.letters.values()))):
            assert not any(word in told for word in (SENDER, agent, str(PORT)))

        ((letter_id,),) = await front.database.read(lambda c: list(c.execute("SELECT letter_id FROM web_sealed")))
        sealed = await SealedStore(front.database, HandClock()).find(letter_id)
        assert sealed is not None
        record = open_sealed(sealed, read_private_key(custody / "private" / "2026-11.pem"), letter_id)
        assert (record.address, record.port) == (SENDER, PORT)

    # An old backup, and the keys that are left once the month's was destroyed: nothing opens.
    left = make_keys(tmp_path / "left", "2026-12", "2027-01")
    old = await SqliteDatabase.open(tmp_path / "copy.db")
    kept = await SealedStore(old, HandClock()).find(letter_id)
    assert kept is not None
    for path in (left / "private").iterdir():
        with pytest.raises(SealError):
            open_sealed(kept, read_private_key(path), letter_id)
    await old.close()
