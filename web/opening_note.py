"""The note of an opening away from the server: what a custodian did with an exported record, on its way to the audit.

Written before the record is shown, and brought back by the operator. Nothing of the record stands in it in clear; one
that was sealed anew for its case comes back with it, still sealed.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from relay.errors import LeakError
from web.audit import DISCLOSE, REFUSE, RESEAL, Disclosure
from web.sealed_export import digest_of
from web.sealing import CASE_PREFIX, Sealed

WHAT: Final = "note of a sealed record's opening"
VERSION: Final = 1
MOST_OCTETS: Final = 64_000
_TEXTS: Final = ("letter", "case", "basis", "by", "second", "reason", "action", "record", "export", "at")


class BrokenNoteError(LeakError):
    """A note that is not as it was written, or that does not fit the audit; the text says why."""


@dataclass(frozen=True, slots=True)
class OpeningNote:
    """What was done with which record of which export. `resealed`: the record as it is to be kept from now on."""

    disclosure: Disclosure
    at: datetime
    export: str
    """SHA-256 of the file that was opened."""
    record: str
    """SHA-256 of the sealed record in it."""
    resealed: Sealed | None = None


def write_note(note: OpeningNote) -> bytes:
    """A note's file."""
    said = note.disclosure
    told: dict[str, Any] = {
        "what": WHAT,
        "version": VERSION,
        "at": note.at.isoformat(timespec="milliseconds"),
        "action": said.action,
        "case": said.case,
        "letter": said.letter_id,
        "basis": said.basis,
        "by": said.actor,
        "second": said.second,
        "reason": said.reason,
        "record": note.record,
        "export": note.export,
    }
    if note.resealed is not None:
        told["sealed"] = base64.b64encode(note.resealed.data).decode()
    return (json.dumps(told, ensure_ascii=False, indent=1) + "\n").encode()


def load_note(path: Path) -> tuple[OpeningNote, str]:
    """A note and its file's SHA-256. Raises BrokenNoteError, and OSError."""
    with path.open("rb") as file:
        data = file.read(MOST_OCTETS + 1)
    try:
        return _read(json.loads(data)), digest_of(data)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise BrokenNoteError(f"{path} is no note of an opening") from None


def _read(said: dict[str, Any]) -> OpeningNote:
    if (said["what"], said["version"]) != (WHAT, VERSION):
        raise ValueError
    letter, case, basis, actor, second, reason, action, record, export, at = (str(said[name]) for name in _TEXTS)
    "".join((letter, case, basis, actor, second, reason)).encode()  # half a character could be kept in no audit
    if action not in (DISCLOSE, RESEAL, REFUSE) or (action == RESEAL) != ("sealed" in said):
        raise ValueError
    resealed = None
    if action == RESEAL:
        resealed = Sealed(f"{CASE_PREFIX}{case}", base64.b64decode(said["sealed"], validate=True))
    disclosure = Disclosure(letter, case, basis, actor, second, reason, action)
    return OpeningNote(disclosure, datetime.fromisoformat(at), export, record, resealed)
