"""Disclosure: one sealed record is opened on a legal basis, and the list of openings cannot be changed unnoticed.

A basis is data (`legal/fr.toml`). One that the rules doubt needs a second person and a reason; none is a dead end,
since whether a court may ask is not ours to decide. The audit entry is committed before the record is shown, and a
request that was refused leaves one too; each entry holds the hash of the one before it, and the database refuses to
change or delete one.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.data_files import data_file, read_data_file
from relay.database.contract import Connection, Database
from relay.errors import ConfigurationError
from web.sealing import Sealed, oldest_kept

_NAME: Final = "legal/fr.toml"
_BASIS: Final = frozenset({"title", "law", "text", "doubt"})
FIRST: Final = b"\0" * 32
"""What stands for the hash before the first entry."""
_LAST: Final = "SELECT n, hash FROM web_audit ORDER BY n DESC LIMIT 1"
_FORGOTTEN: Final = """
SELECT letter_id FROM web_sealed s WHERE key_name < ? AND key_name NOT LIKE ?
AND NOT EXISTS (SELECT 1 FROM web_danger d WHERE d.letter_id = s.letter_id AND d.closed IS NULL)
AND NOT EXISTS (SELECT 1 FROM web_legal_request r WHERE r.letter_id = s.letter_id AND r.closed IS NULL) LIMIT ?
"""
_ADD: Final = "INSERT INTO web_audit (n, at, entry, previous, hash) VALUES (?, ?, ?, ?, ?)"
_OTHERWISE: Final = {"": "waiting", "granted": "granted", "refused": "refused"}
_GRANTED: Final = frozenset({"disclose", "reseal"})
OWN_BASIS: Final = "threat-to-life"
"""The basis on which we tell the authorities ourselves: nobody has asked."""
REFUSE: Final = "refuse"
"""The action of an audit entry about a request that was not followed."""
RECEIVE: Final = "receive"
"""The action of an audit entry about a request that came in."""
ANSWER: Final = "answer"
"""The action of an audit entry about what became of it."""
CASE_PREFIX: Final = "case-"
"""Begins the name of a case's key: a record sealed to it is not deleted with its month."""


@dataclass(frozen=True, slots=True)
class Basis:
    """A legal basis on which somebody may ask; `doubt` says why it needs a second person, "" where it does not."""

    id: str
    title: str
    law: str
    text: str
    doubt: str


@dataclass(frozen=True, slots=True)
class Disclosure:
    """Who opens which record, for which case, on which basis. `second` and `reason` answer a doubt."""

    letter_id: str
    case: str
    basis: str
    actor: str
    second: str = ""
    reason: str = ""
    action: str = "disclose"
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


def load_bases(folder: Path | None = None) -> dict[str, Basis]:
    """The bases, those of `folder`/legal/fr.toml if it exists. Raises ConfigurationError."""
    place = data_file(_NAME, folder / _NAME if folder is not None else None)
    try:
        tables = tomllib.loads(read_data_file(place)).get("basis", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    bases: dict[str, Basis] = {}
    for name, texts in tables.items():
        if not isinstance(texts, dict) or texts.keys() != _BASIS or not all(isinstance(t, str) for t in texts.values()):
            raise ConfigurationError(f"{place}: [basis.{name}] needs the texts {', '.join(sorted(_BASIS))}")
        bases[name] = Basis(name, **texts)
    return bases


@dataclass(frozen=True, slots=True)
class Requests:
    """How often somebody asked who wrote a letter, and what became of it."""

    granted: int = 0
    refused: int = 0
    other: int = 0
    """We held nothing, or it was taken back."""
    waiting: int = 0

    @property
    def asked(self) -> int:
        """All of them."""
        return self.granted + self.refused + self.other + self.waiting


def unusable(disclosure: Disclosure, bases: Mapping[str, Basis]) -> str:
    """Why this is no request that could be granted or refused; "" if it is one."""
    if disclosure.basis not in bases:
        return f"{disclosure.basis} is no legal basis; there are {', '.join(bases)}"
    if not disclosure.case.strip():
        return "a disclosure needs the number of its case"
    if "@" in disclosure.letter_id:
        return "name the letter, never an address: what stands in the audit cannot be erased"
    return ""


def doubt_about(disclosure: Disclosure, basis: Basis) -> str:
    """Why a record is not opened on this basis as things stand; "" if nothing speaks against it."""
    if not basis.doubt:
        return ""
    if not (disclosure.second.strip() and disclosure.reason.strip()):
        return f"{basis.title} ({basis.law}): {basis.doubt} A second person and a reason are needed"
    if disclosure.second.strip().casefold() == disclosure.actor.strip().casefold():
        return "the second person must be another than the first"
    return ""


def count_requests(entries: Iterable[Mapping[str, str]]) -> Requests:
    """The requests among what audit entries say, one for each case and letter however often it was tried: granted if
    the record was opened or kept for the case once. What we told the authorities unasked is no request.

    A case without either counts once, by the answer it got last; it waits while it got none.
    """
    granted: dict[tuple[str, str], bool] = {}
    noted: dict[str, str] = {}
    for said in entries:
        if said["basis"] == OWN_BASIS:
            continue
        case, action = said["case"], said["action"]
        if action in _GRANTED or action == REFUSE:
            granted[case, said["letter"]] = granted.get((case, said["letter"]), False) or action in _GRANTED
        elif action in (RECEIVE, ANSWER):
            noted[case] = said.get("answer", "") or noted.get(case, "")
    tried = {case for case, _ in granted}
    answers = Counter(_OTHERWISE.get(answer, "other") for case, answer in noted.items() if case not in tried)
    opened = sum(granted.values())
    return Requests(
        granted=opened + answers["granted"],
        refused=len(granted) - opened + answers["refused"],
        other=answers["other"],
        waiting=answers["waiting"],
    )


class SealedStore:
    """Sealed records and the audit of their openings. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def find(self, letter_id: str) -> Sealed | None:
        """The record of a letter."""
        rows = await self._rows("SELECT key_name, record FROM web_sealed WHERE letter_id = ?", (letter_id,))
        return Sealed(rows[0][0], bytes(rows[0][1])) if rows else None

    async def letter_of_message(self, message_id: str) -> str | None:
        """The letter that the relay has under `message_id`."""
        rows = await self._rows("SELECT id FROM web_letter WHERE message_id = ?", (message_id,))
        return str(rows[0][0]) if rows else None

    async def note(self, disclosure: Disclosure) -> int:
        """Commit an audit entry; its number."""
        return await self._database.write(lambda connection: self.write(connection, disclosure))

    async def reseal(self, disclosure: Disclosure, sealed: Sealed) -> int:
        """Keep a record under a case's key, and the audit entry with it; its number."""

        def work(connection: Connection) -> int:
            values = (sealed.key, sealed.data, disclosure.letter_id)
            connection.execute("UPDATE web_sealed SET key_name = ?, record = ? WHERE letter_id = ?", values)
            return self.write(connection, disclosure)

        return await self._database.write(work)

    async def forget(self, limit: int = 500) -> int:
        """Delete up to `limit` records whose month is over; how many it were. Those of a case, and of a letter whose
        case is open at the desk, stay.
        """
        bindings = (oldest_kept(self._clock.now()), f"{CASE_PREFIX}%", limit)
        old = await self._rows(_FORGOTTEN, bindings)
        if old:
            delete = "DELETE FROM web_sealed WHERE letter_id = ?"
            await self._database.write(lambda connection: connection.executemany(delete, old))
        return len(old)

    async def entries(self) -> list[AuditEntry]:
        """The whole audit, in order."""
        rows = await self._rows("SELECT n, at, entry FROM web_audit ORDER BY n", ())
        return [AuditEntry(n, from_millis(at), json.loads(entry)) for n, at, entry in rows]

    async def broken_at(self) -> int | None:
        """The number of the first entry that is not as it was written; None if all are."""
        before, expected = FIRST, 1
        for link in await self.chain():
            written = entry_hash(link.n, link.at, link.entry, before)
            if (link.n, link.previous, link.hash) != (expected, before, written):
                return link.n
            before, expected = link.hash, expected + 1
        return None

    async def chain(self) -> list[ChainLink]:
        """The whole audit as it is hashed, in order."""
        rows = await self._rows("SELECT n, at, entry, previous, hash FROM web_audit ORDER BY n", ())
        return [ChainLink(n, at, entry, bytes(previous), bytes(hashed)) for n, at, entry, previous, hashed in rows]

    def write(self, connection: Connection, disclosure: Disclosure) -> int:
        """Add an audit entry, in the transaction of what it is about; its number."""
        last = list(connection.execute(_LAST))
        number, before = (last[0][0] + 1, bytes(last[0][1])) if last else (1, FIRST)
        at = to_millis(self._clock.now())
        said = {
            "action": disclosure.action,
            "letter": disclosure.letter_id,
            "case": disclosure.case,
            "basis": disclosure.basis,
            "by": disclosure.actor,
            "second": disclosure.second,
            "reason": disclosure.reason,
            **disclosure.details,
        }
        entry = json.dumps(said, ensure_ascii=False, sort_keys=True)
        connection.execute(_ADD, (number, at, entry, before, entry_hash(number, at, entry, before)))
        return int(number)

    async def _rows(self, sql: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        return await self._database.read(lambda connection: list(connection.execute(sql, bindings)))


def entry_hash(number: int, at: int, entry: str, before: bytes) -> bytes:
    """The hash of an entry that follows the one whose hash is `before`."""
    return hashlib.sha256(before + f"{number}\n{at}\n{entry}".encode()).digest()
