"""Legal requests: who asked for what, on which basis, and until when they are owed an answer.

Beside the sealed records. A custodian notes a request when it comes and closes it with what became of it; each is one
transaction with an entry of the audit, so that what was owed and when it was done can be shown to a court. While a
request that names a letter is open, that letter's sealed record outlives its month. Nothing here opens a record.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from relay.clock import Clock, from_millis, to_millis
from relay.data_files import data_file, read_data_file
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from relay.errors import ConfigurationError
from web.audit import ANSWER, RECEIVE, Audit, Disclosure

_NAME: Final = "legal/fr.toml"
_KEYS: Final = frozenset({"title", "law", "hours"})
_CLOSED_KEPT: Final = timedelta(days=366)
"""So long a closed request stays in the list; the audit has it for good."""
_COLUMNS: Final = "n, kind, case_number, authority, basis, letter_id, received, due, closed, outcome"
_NEXT: Final = "SELECT COALESCE(MAX(n), 0) + 1 FROM web_legal_request"
_ADD: Final = f"INSERT INTO web_legal_request ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)"  # noqa: S608
_CLOSE: Final = """
UPDATE web_legal_request SET closed = ?, outcome = ? WHERE n = ? AND closed IS NULL
RETURNING case_number, basis, letter_id
"""
_FORGET: Final = "DELETE FROM web_legal_request WHERE closed < ? AND n < (SELECT MAX(n) FROM web_legal_request)"
"""The last one stays, so that no number is given twice."""


class Answer(StrEnum):
    """What became of a request."""

    GRANTED = "granted"
    REFUSED = "refused"
    NOTHING_HELD = "nothing-held"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long a kind of request may wait for its answer; zero: it says so itself."""

    title: str
    law: str
    span: timedelta


@dataclass(frozen=True, slots=True)
class Asked:
    """What an authority asks. `letter_id` "": it names no letter."""

    kind: str
    case: str
    authority: str
    basis: str
    letter_id: str
    received: datetime
    due: datetime


@dataclass(frozen=True, slots=True)
class LegalRequest:
    """A request as it is kept."""

    n: int
    asked: Asked
    closed: datetime | None = None
    answer: Answer | None = None


def load_deadlines(folder: Path | None = None) -> dict[str, Deadline]:
    """Those of `folder`/legal/fr.toml if it names any, else ours, by kind. Raises ConfigurationError."""
    own = data_file(_NAME, folder / _NAME if folder is not None else None)
    return _read(own) or _read(data_file(_NAME, None))


def _read(place: Path) -> dict[str, Deadline]:
    try:
        tables = tomllib.loads(read_data_file(place)).get("deadline", {})
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{place}: {error}") from None
    found: dict[str, Deadline] = {}
    for name, said in tables.items():
        if not isinstance(said, dict) or said.keys() != _KEYS or not isinstance(said["hours"], int):
            raise ConfigurationError(f"{place}: [deadline.{name}] needs title, law and hours, a whole number")
        found[name] = Deadline(str(said["title"]), str(said["law"]), timedelta(hours=said["hours"]))
    return found


def unfit(asked: Asked, bases: Mapping[str, object], now: datetime) -> str:
    """Why this cannot be noted; "" if it can."""
    if asked.basis not in bases:
        return f"{asked.basis} is no legal basis; there are {', '.join(bases)}"
    if not (asked.case.strip() and asked.authority.strip()):
        return "a request needs the number of its case and the authority that asks"
    if any("@" in text for text in (asked.case, asked.authority, asked.letter_id)):
        return "name case, authority and letter, never an address: what stands in the audit cannot be erased"
    if asked.received > now:
        return "it cannot have been received after now"
    return "" if asked.due > asked.received else "it cannot be due before it was received"


class LegalRequestStore:
    """Requests in the front's tables. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._audit = Audit(database, clock)

    async def note(self, asked: Asked, actor: str) -> LegalRequest:
        """Keep a request, and that it came in the audit."""
        times = (to_millis(asked.received), to_millis(asked.due))

        def work(connection: Connection) -> int:
            self._audit.take_turn(connection)
            ((n,),) = connection.execute(_NEXT)
            values = (n, asked.kind, asked.case, asked.authority, asked.basis, asked.letter_id, *times)
            connection.execute(_ADD, values)
            details = {"request": str(n), "kind": asked.kind, "authority": asked.authority}
            details |= {"received": _told(asked.received), "due": _told(asked.due)}
            said = Disclosure(asked.letter_id, asked.case, asked.basis, actor, action=RECEIVE, details=details)
            self._audit.write(connection, said)
            return int(n)

        return LegalRequest(await self._database.write(work), asked)

    async def close(self, n: int, answer: Answer, actor: str, reason: str) -> bool:
        """Note what became of a request, in the audit as well; False if none of this number is open."""
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> bool:
            found = list(connection.execute(_CLOSE, (now, answer.value, n)))
            for case, basis, letter_id in found:
                details = {"request": str(n), "answer": answer.value}
                said = Disclosure(letter_id, case, basis, actor, reason=reason, action=ANSWER, details=details)
                self._audit.write(connection, said)
            return bool(found)

        return await self._database.write(work)

    async def waiting(self) -> list[LegalRequest]:
        """The open ones, what is due first on top."""
        return await self._rows("closed IS NULL ORDER BY due, n")

    async def of_case(self, case: str) -> list[LegalRequest]:
        """The open ones of a case, in the order in which they were noted."""
        return await self._rows("closed IS NULL AND case_number = ? ORDER BY n", (case,))

    async def every(self) -> list[LegalRequest]:
        """Closed ones too, the latest first."""
        return await self._rows("n > 0 ORDER BY n DESC")

    async def forget(self) -> None:
        """Delete what was closed long ago."""
        before = to_millis(self._clock.now() - _CLOSED_KEPT)
        await change(self._database, (_FORGET, (before,)))

    async def _rows(self, where: str, bindings: Sequence[Any] = ()) -> list[LegalRequest]:
        sql = f"SELECT {_COLUMNS} FROM web_legal_request WHERE {where}"  # noqa: S608 - texts of this module
        return [_request(row) for row in await rows_of(self._database, sql, bindings)]


def _told(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _request(row: tuple[Any, ...]) -> LegalRequest:
    n, kind, case, authority, basis, letter_id, received, due, closed, outcome = row
    asked = Asked(kind, case, authority, basis, letter_id, from_millis(received), from_millis(due))
    ended = None if closed is None else from_millis(closed)
    return LegalRequest(n, asked, ended, Answer(outcome) if outcome else None)
