"""The audit of one case as JSON lines, for a court: each line can be checked against the one before it.

Written from `web.audit`'s chain. The case's entries stand in full. Of all others there is a line with its hashes
alone, so that the chain is followed from its first entry to its last and yet no other case is told. Whoever has the
last hash from another place (an earlier export, a note in a safe) sees that nothing was put in, changed or cut off.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from web.audit import FIRST, ChainLink, entry_hash, read_entry

HOW: Final = "hash = SHA-256(previous, then the UTF-8 of n, LF, at, LF, entry); previous is the hash of the line before"


@dataclass(frozen=True, slots=True)
class Verified:
    """What a whole export holds: the case, how many entries the chain has and the case among them, and its end."""

    case: str
    entries: int
    told: int
    last: str


class BrokenExportError(ValueError):
    """An export that is not as it was written; the text says where."""


def export_case(chain: Sequence[ChainLink], case: str, now: datetime) -> Iterator[str]:
    """The lines: what this is, then one for each entry of the chain."""
    last = chain[-1].hash.hex() if chain else FIRST.hex()
    yield _line(
        {"case": case, "exported": now.isoformat(timespec="seconds"), "entries": len(chain), "last": last, "how": HOW}
    )
    for link in chain:
        hashes = {"previous": link.previous.hex(), "hash": link.hash.hex()}
        told = {"at": link.at, "entry": link.entry} if read_entry(link.entry).get("case") == case else {}
        yield _line({"n": link.n, **told, **hashes})


def verify_export(lines: Iterable[str]) -> Verified:
    """Check an export by itself. Raises BrokenExportError."""
    try:
        said = [json.loads(line) for line in lines if line.strip()]
        return _verified(said[0], said[1:])
    except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, BrokenExportError):
            raise
        raise BrokenExportError("this is no export of an audit") from None


def _verified(head: dict[str, Any], links: Sequence[dict[str, Any]]) -> Verified:
    before, told = FIRST.hex(), 0
    for number, link in enumerate(links, 1):
        if (link["n"], link["previous"]) != (number, before):
            raise BrokenExportError(f"entry {number} does not follow the one before it")
        if "entry" in link:
            told += 1
            if json.loads(link["entry"]).get("case") != head["case"]:
                raise BrokenExportError(f"entry {number} is of another case")
            if entry_hash(number, link["at"], link["entry"], bytes.fromhex(before)).hex() != link["hash"]:
                raise BrokenExportError(f"entry {number} is not as it was written")
        before = link["hash"]
    if (head["entries"], head["last"]) != (len(links), before):
        raise BrokenExportError("entries are missing at its end")
    return Verified(str(head["case"]), len(links), told, before)


def _line(said: dict[str, Any]) -> str:
    return json.dumps(said, ensure_ascii=False)
