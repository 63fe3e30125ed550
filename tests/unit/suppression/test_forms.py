"""Hashes of addresses, the filter of absent ones, the list of changes, and lists in other people's forms."""

from __future__ import annotations

import csv
import hmac
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from relay.ids import SeededEntropy
from relay.mail.address import parse_address
from relay.policy.suppress import Reason
from relay.suppression.absent import Absence
from relay.suppression.changes import Changes
from relay.suppression.contract import Standing
from relay.suppression.exchange import Form, decode_list, read_list, write_list
from relay.suppression.hashing import AddressHasher

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_mailbox_is_one_however_it_is_written() -> None:
    hasher = AddressHasher([b"k" * 32])
    ways = ["ann.b@gmail.com", "AnnB@gmail.com", "a.nnb+shop@googlemail.com", '"ann.b"@gmail.com']
    assert len({hasher.of_mailbox(parse_address(one)) for one in ways}) == 1
    assert len({hasher.of_address(parse_address(one)) for one in ways}) == 3  # quotes alone make no other address
    for ways in (
        ["ann.b_c@proton.me", "ann-bc@protonmail.com", "annbc+x@pm.me"],
        ["ann@icloud.com", "ann+1@me.com", "ANN@mac.com"],
        ["ann@fastmail.com", "shop@ann.fastmail.com", "other@Ann.Fastmail.com"],
    ):
        assert len({hasher.of_mailbox(parse_address(one)) for one in ways}) == 1
    apart = ["ann@fastmail.com", "ann@fastmail.fm", "ann@icloud.com", "a.nn@icloud.com", "ann@proton.me", "-@proton.me"]
    assert len({hasher.of_mailbox(parse_address(one)) for one in apart}) == len(apart)
    assert hasher.of_mailbox(parse_address("a.b@b.example")) != hasher.of_mailbox(parse_address("ab@b.example"))
    assert hasher.of_mailbox(parse_address("ann@exämple.org")) == hasher.of_mailbox(
        parse_address("Ann@xn--exmple-cua.org")
    )


def test_a_hash_says_nothing_without_its_key_and_old_keys_are_asked_too() -> None:
    ann = parse_address("ann@b.example")
    old, new = AddressHasher([b"old" * 16]), AddressHasher([b"new" * 16, b"old" * 16])
    assert old.of_mailbox(ann) != new.of_mailbox(ann)
    assert old.of_mailbox(ann) in new.all_of(ann)
    assert old.key_id != new.key_id


def test_a_refusal_from_before_a_provider_was_known_still_counts() -> None:
    hasher = AddressHasher([b"k" * 32])
    kept = hmac.digest(b"k" * 32, b"mailbox\0ann.b@proton.me", "sha256")[:16]
    assert kept in hasher.all_of(parse_address("Ann.B+x@proton.me"))


def test_absence_never_denies_what_was_added() -> None:
    entropy = SeededEntropy(1)
    absence = Absence()
    assert absence.holds_none([entropy.bytes(16)])
    added = [entropy.bytes(16) for _ in range(5000)]
    for digest in added:
        absence.add(digest)
    assert not any(absence.holds_none([digest]) for digest in added)
    assert sum(not absence.holds_none([entropy.bytes(16)]) for _ in range(5000)) < 5


def test_a_change_is_seen_by_who_looked_before_it() -> None:
    changes = Changes(remembered=3)
    one, two = b"1" * 16, b"2" * 16
    before = changes.number
    assert not changes.touched(before, {one})
    changes.note([one])
    assert changes.touched(before, {one})
    assert not changes.touched(before, {two})
    assert not changes.touched(changes.number, {one})
    changes.note([bytes([n]) * 16 for n in range(10)])
    assert changes.touched(before, {two})  # too long ago to know
    assert not changes.touched(changes.number - 2, {two})


SES = {"SuppressedDestinationSummaries": [{"EmailAddress": "a@b.example", "Reason": "COMPLAINT"}]}
MANDRILL = [
    {"email": "a@b.example", "reason": "unsub", "detail": None, "expires_at": None, "expired": False},
    {"email": "c@b.example", "reason": "hard-bounce", "expires_at": "2027-01-01 00:00:00"},
    {"email": "d@b.example", "reason": "rule"},
]


@pytest.mark.parametrize(
    ("text", "form", "reasons"),
    [
        ("address,reason\na@b.example,opt-out\nc@b.example,\n", Form.CSV, ["opt-out", "manual"]),
        ("a@b.example\nc@b.example\n", Form.CSV, ["manual", "manual"]),
        ("\ufeffemail,reason\na@b.example,spam\n", Form.MANDRILL, ["complaint"]),
        (json.dumps(MANDRILL), Form.MANDRILL, ["opt-out", "hard-bounce", "manual"]),
        ("a@b.example,BOUNCE\nc@b.example,COMPLAINT\n", Form.SES, ["hard-bounce", "complaint"]),
        (
            '{"emailAddress":"a@b.example","reason":"BOUNCE"}\n{"emailAddress":"c@b.example"}\n',
            Form.SES,
            ["hard-bounce", "manual"],
        ),
        (json.dumps(SES), Form.SES, ["complaint"]),
    ],
)  # fmt: skip
def test_lists_are_told_by_their_looks(text: str, form: Form, reasons: list[str]) -> None:
    readout = read_list(text)
    assert (readout.form, readout.complaints) == (form, ())
    assert [entry.reason.value for entry in readout.entries] == reasons


def test_a_bad_line_is_told_and_the_others_are_read() -> None:
    readout = read_list("address,reason\nno address,manual\na@b.example,nonsense\nc@b.example,opt-out\n")
    assert [str(entry.address) for entry in readout.entries] == ["c@b.example"]
    assert [complaint.partition(":")[0] for complaint in readout.complaints] == ["line 2", "line 3"]


@pytest.mark.parametrize("text", ["", "name,reason\nx,y\n", "[", '{"x"', "[1]"])
def test_nonsense_is_refused_or_told(text: str) -> None:
    try:
        readout = read_list(text)
    except ValueError:
        return
    assert not readout.entries
    assert readout.complaints


def standing(address: str | None, reason: Reason, until: datetime | None = None) -> Standing:
    return Standing(1, "acme", 1, "news", address, reason, "=1+1", 1, NOW, NOW, until)


@pytest.mark.parametrize("form", list(Form))
def test_what_is_written_can_be_read_again(form: Form) -> None:
    rows = [
        standing("+ann@b.example", Reason.OPT_OUT),
        standing("bob@b.example", Reason.HARD_BOUNCE, NOW + timedelta(days=9)),
        standing(None, Reason.OPT_OUT),
    ]
    text = write_list(rows, form, NOW)
    readout = read_list(text)
    assert readout.form is form
    assert [str(entry.address) for entry in readout.entries] == ["+ann@b.example", "bob@b.example"]
    if form is Form.CSV:  # S46
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in csv.reader(io.StringIO(text)) for cell in row)
        assert [(e.reason, e.until, e.detail) for e in readout.entries] == [
            (row.reason, row.until, row.detail) for row in rows[:2]
        ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_what_spreadsheets_write(mark: str, encoding: str) -> None:
    out = io.StringIO()
    rows = [("address", "reason", "detail"), ("ann@b.example", "opt-out", 'said "no", twice')]
    csv.writer(out, delimiter=mark).writerows([*rows, ("'=cmd@b.example", "manual", "'=1+1")])
    text = out.getvalue()
    bom = b"\xff\xfe" if encoding == "utf-16-le" else b""
    readout = read_list(decode_list(bom + text.encode(encoding)))
    assert readout.complaints == ()
    assert [(str(one.address), one.reason.value) for one in readout.entries] == [
        ("ann@b.example", "opt-out"),
        ("=cmd@b.example", "manual"),
    ]
    assert readout.entries[1].detail == "=1+1"


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00\xd8", b"address\nann@b.example\xe9", b'address\n"' + b"x" * 200_000, b"\x00" * 100, b"[" * 100_000],
)
def test_a_file_that_is_no_list_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says, the command tells it
        read_list(decode_list(content))


def test_a_long_list_is_read_at_once() -> None:
    text = "address,reason\n" + "".join(f"u{n}@b.example,hard-bounce\n" for n in range(20_000)) + "x\0y@b.example\n"
    readout = read_list(text)
    assert len(readout.entries) + len(readout.complaints) == 20_001
