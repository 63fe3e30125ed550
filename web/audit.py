"""The audit of sealed records: who asked for one, who opened one, and on which basis; nobody can change it unnoticed.

Each entry holds the hash of the one before it, and the database refuses to change or delete one. An entry is written
in the transaction of what it is about. What stands here cannot be erased, so no mail address is written into it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from web.turns import Turn, take_turn

FIRST: Final = b"\0" * 32
"""What stands for the hash before the first entry."""
DISCLOSE: Final = "disclose"
"""The action of an entry about a record that was opened."""
RESEAL: Final = "reseal"
"""The action of an entry about a record that was sealed anew to a case's key."""
DELETE: Final = "delete"
"""The action of an entry about a record that was kept for a case, and is no more."""
EXPORT: Final = "export"
"""The action of an entry about a record that was written into a file for its custodian, still sealed."""
REFUSE: Final = "refuse"
"""The action of an entry about a request that was not followed."""
RECEIVE: Final = "receive"
"""The action of an entry about a request that came in."""
ANSWER: Final = "answer"
"""The action of an entry about what became of it."""
UNREADABLE: Final = "unreadable"
"""What is read as the action of an entry that somebody made unreadable."""

MASKED: Final = "[…]"
_ADDRESS: Final = re.compile(r"[^\s<>()\[\],;:\"@＠]{1,64}[@＠][^\s<>()\[\],;:\"@＠]{1,255}")
_FIELDS: Final = ("action", "letter", "case", "basis", "by", "second", "reason")
_LAST: Final = "SELECT n, hash FROM web_audit ORDER BY n DESC LIMIT 1"
_ADD: Final = "INSERT INTO web_audit (n, at, entry, previous, hash) VALUES (?, ?, ?, ?, ?)"
_EVERY: Final = "SELECT n, at, entry, previous, hash FROM web_audit ORDER BY n"


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What an entry says: who does what with which record, for which case, on which basis. `second` and `reason` answer
    a doubt about the basis.
    """

    letter_id: str
    case: str
    basis: str
    actor: str
    second: str = ""
    reason: str = ""
    action: str = DISCLOSE
    details: Mapping[str, str] = field(default_factory=dict)
    """What else its entry says, by names of its own."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry as it was written."""

    n: int
    at: datetime
    said: dict[str, str]


@dataclass(frozen=True, slots=True)
class ChainLink:
    """An entry with its hashes; `at` in milliseconds since 1970, `entry` as it was hashed."""

    n: int
    at: int
    entry: str
    previous: bytes
    hash: bytes


class Audit:
    """The entries in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def note(self, disclosure: Disclosure) -> int:
        """Commit an entry; its number."""
        return await self._database.write(lambda connection: self.write(connection, disclosure))

    def write(self, connection: Connection, disclosure: Disclosure) -> int:
        """Add an entry, in the transaction of what it is about; its number."""
        self.take_turn(connection)
        last = list(connection.execute(_LAST))
        number, before = (last[0][0] + 1, bytes(last[0][1])) if last else (1, FIRST)
        at = to_millis(self._clock.now())
        said = {
            **disclosure.details,
            "action": disclosure.action,
            "letter": disclosure.letter_id,
            "case": disclosure.case,
            "basis": disclosure.basis,
            "by": disclosure.actor,
            "second": disclosure.second,
            "reason": disclosure.reason,
        }
        # Commands refuse an address; a moderator's reason, or a note from elsewhere, may have one all the same.
        said = {name: _ADDRESS.sub(MASKED, text) for name, text in said.items()}
        entry = json.dumps(said, ensure_ascii=False, sort_keys=True)
        connection.execute(_ADD, (number, at, entry, before, entry_hash(number, at, entry, before)))
        return int(number)

    def take_turn(self, connection: Connection) -> None:
        """Let nobody else add an entry before this transaction ends; it may be called again in it."""
        take_turn(connection, self._database.dialect, Turn.AUDIT)

    async def entries(self) -> list[AuditEntry]:
        """All of them, in order."""
        return [AuditEntry(link.n, _moment(link.at), read_entry(link.entry)) for link in await self.chain()]

    async def chain(self) -> list[ChainLink]:
        """All of them as they are hashed, in order."""
        return await self._database.read(read_chain)

    async def hash_of(self, n: int) -> str:
        """The hash of entry `n`, in hexadecimal: whoever has it from elsewhere sees that nothing was cut off before."""
        return next((link.hash.hex() for link in await self.chain() if link.n == n), "")

    async def broken_at(self) -> int | None:
        """The number of the first entry that is not as it was written; None if all are."""
        return broken_link(await self.chain())


def names_address(*texts: str) -> bool:
    """Whether any of the texts has a mail address, which the audit must not keep."""
    return any(_ADDRESS.search(text) for text in texts)


def read_chain(connection: Connection) -> list[ChainLink]:
    """The whole audit, within a transaction that is open already."""
    rows: list[tuple[Any, ...]] = list(connection.execute(_EVERY))
    return [ChainLink(n, at, str(entry), _octets(before), _octets(hashed)) for n, at, entry, before, hashed in rows]


def read_entry(entry: str) -> dict[str, str]:
    """What an entry says, every field of `Disclosure` among it. One that is none of ours was changed, and says
    `UNREADABLE`: whoever looks for what was changed has to come past it.
    """
    try:
        said = json.loads(entry)
    except (ValueError, RecursionError):
        said = None
    told = {str(name): str(value) for name, value in said.items()} if isinstance(said, dict) else {}
    return dict.fromkeys(_FIELDS, "") | {"action": UNREADABLE} | told


def broken_link(chain: list[ChainLink]) -> int | None:
    """The number of the first link that does not follow the one before it, or was changed; None if all are whole."""
    before, expected = FIRST, 1
    for link in chain:
        written = entry_hash(link.n, link.at, link.entry, before)
        if (link.n, link.previous, link.hash) != (expected, before, written):
            return link.n
        before, expected = link.hash, expected + 1
    return None


def _octets(stored: object) -> bytes:
    """A hash as it was stored; none for what is no hash."""
    return bytes(stored) if isinstance(stored, bytes | bytearray | memoryview) else b""


def _moment(at: int) -> datetime:
    """When an entry was written; the beginning of 1970 for one that names no moment."""
    try:
        return from_millis(at)
    except (OverflowError, ValueError, TypeError):
        return from_millis(0)


def entry_hash(number: int, at: int, entry: str, before: bytes) -> bytes:
    """The hash of an entry that follows the one whose hash is `before`."""
    return hashlib.sha256(before + f"{number}\n{at}\n{entry}".encode("utf-8", "surrogatepass")).digest()
