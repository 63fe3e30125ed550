"""A case's sealed records as one file for their custodian: still sealed, with what they were asked for, and checkable.

The first line is the manifest: case, bases, and of each record its letter, its key's fingerprint and its SHA-256. One
line a record follows, in base64, then the audit of the case (`web.audit_export`), whose entries name the same records
by the same hashes. So a file is checked by itself, without a database, and only its custodian's key opens a record.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from web.audit import EXPORT, ChainLink
from web.audit_export import BrokenExportError, Verified, export_case, verify_export
from web.disclosure import Basis
from web.sealing import Sealed

WHAT: Final = "sealed sender records, for their custodian"
VERSION: Final = 1
HOW: Final = (
    "one line for each of records: sha256 is that of its base64 decoded; then the audit: sha256 is that of its lines, "
    "each with its LF"
)
MOST_OCTETS: Final = 64_000_000
"""No file of ours is longer: an audit of 200,000 entries makes half of it."""


@dataclass(frozen=True, slots=True)
class AskedFor:
    """A record in an export: whose letter's, for which noted request (0: none, we ask ourselves), on which basis."""

    letter_id: str
    request: int
    basis: str
    fingerprint: str
    """Of the key's public half; "" for a key that the server does not have."""
    sealed: Sealed


@dataclass(frozen=True, slots=True)
class SealedExport:
    """What a file holds. `audit` is the chain's state when it was written."""

    case: str
    at: datetime
    actor: str
    bases: Mapping[str, Basis]
    records: tuple[AskedFor, ...]
    audit: Verified

    def find(self, letter_id: str = "") -> AskedFor | None:
        """The record of a letter; without its name the only one there is."""
        found = [one for one in self.records if letter_id in ("", one.letter_id)]
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an export is written from."""

    case: str
    at: datetime
    actor: str
    bases: Mapping[str, Basis]
    records: Sequence[AskedFor]
    chain: Sequence[ChainLink]


def write_export(prepared: Prepared) -> bytes:
    """The file's content. Its audit must hold the entry of each record's export already."""
    audit = [_line_of_text(line) for line in export_case(prepared.chain, prepared.case, prepared.at)]
    last = prepared.chain[-1]
    manifest = {
        "what": WHAT,
        "version": VERSION,
        "case": prepared.case,
        "exported": prepared.at.isoformat(timespec="seconds"),
        "by": prepared.actor,
        "bases": {one.basis: asdict(prepared.bases[one.basis]) for one in prepared.records},
        "records": [_described(one) for one in prepared.records],
        "audit": {"entries": last.n, "last": last.hash.hex(), "sha256": _sha256(b"".join(audit))},
        "how": HOW,
    }
    sealed = (
        {"letter": one.letter_id, "sealed": base64.b64encode(one.sealed.data).decode()} for one in prepared.records
    )
    return b"".join((_line(manifest), *map(_line, sealed), *audit))


def read_export(data: bytes) -> SealedExport:
    """Check a file by itself. Raises BrokenExportError, which says where."""
    try:
        return _read(data)
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, BrokenExportError):
            raise
        raise BrokenExportError("this is no export of sealed records") from None


def load_export(path: Path) -> tuple[SealedExport, str]:
    """A file, checked, and its SHA-256. Raises BrokenExportError, and OSError."""
    with path.open("rb") as file:
        data = file.read(MOST_OCTETS + 1)
    if len(data) > MOST_OCTETS:
        raise BrokenExportError("this is no export of sealed records: it is too long")
    return read_export(data), digest_of(data)


def digest_of(data: bytes) -> str:
    """The SHA-256 of a file, in hexadecimal: what operator and custodian compare."""
    return _sha256(data)


def _read(data: bytes) -> SealedExport:
    lines = data.split(b"\n")
    if lines.pop():
        raise BrokenExportError("its last line is cut off")
    head = json.loads(lines[0])
    _line(head)  # half a character could be shown nowhere
    if head["what"] != WHAT:
        raise BrokenExportError("this is no export of sealed records")
    if head["version"] != VERSION:
        raise BrokenExportError(f"it is of version {head['version']}; this program knows {VERSION}")
    end = 1 + len(head["records"])
    said = list(zip(head["records"], lines[1:end], strict=True))
    records = tuple(_record(number, *one) for number, one in enumerate(said, 1))
    if len({one.letter_id for one in records}) != len(records) or not records:
        raise BrokenExportError("it holds no record, or one of them twice")
    bases = {name: Basis(**texts) for name, texts in head["bases"].items()}
    if {one.basis for one in records} != bases.keys():
        raise BrokenExportError("the legal bases are not those of its records")
    audit = _audit(head, lines[end:])
    at = datetime.fromisoformat(head["exported"])
    export = SealedExport(str(head["case"]), at, str(head["by"]), bases, records, audit)
    told = set(_exported(lines[end:]))
    for one in records:
        if (one.letter_id, one.basis, one.sealed.digest) not in told:
            raise BrokenExportError(f"its audit has no export of the record of {one.letter_id}")
    return export


def _record(number: int, said: Mapping[str, Any], line: bytes) -> AskedFor:
    written = json.loads(line)
    try:
        sealed = Sealed(str(said["key"]), base64.b64decode(written["sealed"], validate=True))
    except binascii.Error:
        raise BrokenExportError(f"record {number} is not as it was written") from None
    if (written["letter"], len(sealed.data), sealed.digest) != (said["letter"], said["octets"], said["sha256"]):
        raise BrokenExportError(f"record {number} is not as it was written")
    return AskedFor(
        str(said["letter"]), int(said["request"]), str(said["basis"]), str(said["fingerprint"] or ""), sealed
    )


def _audit(head: Mapping[str, Any], lines: Sequence[bytes]) -> Verified:
    whole = b"".join(line + b"\n" for line in lines)
    if _sha256(whole) != head["audit"]["sha256"]:
        raise BrokenExportError("its audit is not as it was written")
    found = verify_export(line.decode() for line in lines)
    if (found.entries, found.last) != (head["audit"]["entries"], head["audit"]["last"]):
        raise BrokenExportError("its audit does not end as its manifest says")
    if found.case != head["case"]:
        raise BrokenExportError("its audit is of another case")
    return found


def _exported(lines: Sequence[bytes]) -> Iterator[tuple[str, str, str]]:
    """Letter, basis and SHA-256 of each record that the case's audit says was exported."""
    for line in lines[1:]:
        entry = json.loads(line).get("entry")
        said = json.loads(entry) if entry else {}
        if said.get("action") == EXPORT:
            yield said["letter"], said["basis"], said["record"]


def _described(one: AskedFor) -> dict[str, Any]:
    return {
        "letter": one.letter_id,
        "request": one.request,
        "basis": one.basis,
        "key": one.sealed.key,
        "fingerprint": one.fingerprint or None,
        "octets": len(one.sealed.data),
        "sha256": one.sealed.digest,
    }


def _line(said: Mapping[str, Any]) -> bytes:
    return _line_of_text(json.dumps(said, ensure_ascii=False))


def _line_of_text(text: str) -> bytes:
    return f"{text}\n".encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
