"""Files between server and custodian: whatever they hold, reading gives a record as it was sealed, or a refusal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from web.audit import EXPORT, FIRST, ChainLink, Disclosure, entry_hash
from web.audit_export import BrokenExportError
from web.disclosure import Basis
from web.opening_note import BrokenNoteError, OpeningNote, load_note, write_note
from web.sealed_export import AskedFor, Prepared, read_export, write_export
from web.sealing import Sealed

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SEALED = Sealed("2026-11", bytes(range(256)))


def _export() -> bytes:
    entry = json.dumps(
        {
            "action": EXPORT,
            "letter": "id0",
            "case": "26/7",
            "basis": "crime",
            "record": SEALED.digest,
            "reason": "é\u2028",
        },
        ensure_ascii=False,
    )
    link = ChainLink(1, 0, entry, FIRST, entry_hash(1, 0, entry, FIRST))
    bases = {"crime": Basis("crime", "t", "l", "x", "")}
    return write_export(Prepared("26/7", NOW, "Ann\u2028", bases, [AskedFor("id0", 1, "crime", "", SEALED)], [link]))


EXPORT_FILE = _export()
NOTE_FILE = write_note(OpeningNote(Disclosure("id0", "26/7", "crime", "Ann"), NOW, "f" * 64, SEALED.digest))


def test_what_was_written_is_read() -> None:
    export = read_export(EXPORT_FILE)
    assert [one.sealed for one in export.records] == [SEALED]
    assert (export.case, export.actor, export.at) == ("26/7", "Ann\u2028", NOW)


@settings(max_examples=150)
@given(st.integers(0, len(EXPORT_FILE)), st.integers(0, 40), st.binary(max_size=40))
def test_a_changed_export_holds_the_same_record_or_none(at: int, gone: int, put: bytes) -> None:
    try:
        export = read_export(EXPORT_FILE[:at] + put + EXPORT_FILE[at + gone :])
    except BrokenExportError:
        return
    assert [(one.letter_id, one.basis, one.sealed.data) for one in export.records] == [("id0", "crime", SEALED.data)]


@settings(max_examples=100)
@given(st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b"{}\n{}\n", b'{"what": 1}\n', b"null\n", b"\n\n"]))
def test_no_export_is_told(data: bytes) -> None:
    with pytest.raises(BrokenExportError):
        read_export(data)


@settings(max_examples=100)
@given(st.integers(0, len(NOTE_FILE)), st.integers(0, 40), st.binary(max_size=40))
def test_a_changed_note_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, gone: int, put: bytes
) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "note.json"
    path.write_bytes(NOTE_FILE[:at] + put + NOTE_FILE[at + gone :])
    try:
        note, _ = load_note(path)
    except BrokenNoteError:
        return
    assert note.disclosure.action in ("disclose", "refuse")
