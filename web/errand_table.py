"""The table of errands that wait for a relay that is away: sealed, so that a copy of the database names nobody.

Beside `web.errands`, which runs them. Addresses and tokens are encrypted under a key of the node's secrets (AES-SIV,
RFC 5297: the same errand is the same row); mailboxes are keyed hashes, as everywhere in the front's tables.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from relay.client.contract import Followed
from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import change, rows_of
from web.limit_keys import Hashes
from web.mailbox import MailboxHasher

MOST_LINKS: Final = 10_000
"""Tokens of links kept at most: only the relay knows which of them are good."""
LINKS_OF_A_NETWORK: Final = 500
"""Of them, posted by one network. A large provider posts its customers' clicks from many."""

_KEEP: Final = """
INSERT INTO web_kept_errand (kind, sealed, mailbox, at, who) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_NEXT: Final = """
SELECT at, kind, sealed FROM web_kept_errand
WHERE (at, kind, sealed) > (?, ?, ?) AND at <= ? ORDER BY at, kind, sealed LIMIT ?
"""
_KNOWN: Final = "SELECT 1 FROM web_kept_errand WHERE kind = ? AND sealed = ?"
_FULL: Final = "SELECT 1 FROM web_kept_errand WHERE kind = ? LIMIT 1 OFFSET ?"
_FULL_OF_ONE: Final = "SELECT 1 FROM web_kept_errand WHERE who IN (?, ?) LIMIT 1 OFFSET ?"
_OLDER: Final = "SELECT kind, address, mailbox, at FROM web_errand LIMIT 100"
"""What a version before the seal has kept."""


Question = Callable[[Connection], bool]


class Errand(StrEnum):
    """What is asked; the values stand in the database."""

    REFUSE = "refuse"
    """Never again."""
    ERASE = "erase"
    """Delete what you hold about me."""
    OPT_OUT = "opt-out"
    """The one-click link of a mail, named by its token in the place of an address."""


@dataclass(frozen=True, slots=True)
class KeptErrand:
    """One row, in the order in which they are run: when it was asked, what, and about whom."""

    at: int
    errand: Errand
    sealed: bytes


BEFORE_ALL: Final = KeptErrand(-1, Errand.ERASE, b"")


class ErrandSeal:
    """Seals what an errand is about. The first of `keys` seals, all of them open."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys:
            raise ValueError("sealing needs a key")
        self._ciphers = [AESSIV(hmac.digest(key, b"leak errand", hashlib.sha512)) for key in keys]

    def seal(self, errand: Errand, about: str) -> bytes:
        """The same for the same errand."""
        return self._ciphers[0].encrypt(about.encode(), [errand.value.encode()])

    def open(self, kept: KeptErrand) -> str | None:
        """What it is about; None under a key that is gone."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(kept.sealed, [kept.errand.value.encode()]).decode()
            except (InvalidTag, ValueError):
                continue
        return None


class ErrandTable:
    """Keeps errands. Raises SpoolUnavailableError."""

    def __init__(self, database: Database, seal: ErrandSeal, mailboxes: MailboxHasher, clock: Clock) -> None:
        self._database = database
        self._seal = seal
        self._mailboxes = mailboxes
        self._clock = clock

    async def keep(self, errand: Errand, address: str) -> None:
        """Keep what is asked about an address."""
        now = to_millis(self._clock.now())
        row = (errand.value, self._seal.seal(errand, address), self._mailboxes.of(address), now, None)
        await change(self._database, (_KEEP, row))

    async def keep_link(self, token: str, who: Hashes) -> Followed:
        """Keep a link that a network posted, unless it posted too many, or everybody did."""
        kind, now = Errand.OPT_OUT.value, to_millis(self._clock.now())
        sealed = self._seal.seal(Errand.OPT_OUT, token)

        def look(connection: Connection) -> Followed | None:
            if list(connection.execute(_KNOWN, (kind, sealed))):
                return Followed.DONE
            if list(connection.execute(_FULL_OF_ONE, (*who.both, LINKS_OF_A_NETWORK - 1))):
                return Followed.TOO_MANY
            return Followed.BUSY if list(connection.execute(_FULL, (kind, MOST_LINKS - 1))) else None

        def work(connection: Connection) -> Followed:
            found = look(connection)
            if found is None:
                connection.execute(_KEEP, (kind, sealed, None, now, who.now))
            return found or Followed.DONE

        # Whoever posts many more takes nobody's turn to write.
        found = await self._database.read(look)
        return found if found is not None else await self._database.write(work)

    async def waits(self, addresses: Sequence[str]) -> list[bool]:
        """Whether a refusal of each of these mailboxes is kept."""
        questions = [self.question(address) for address in addresses]
        return await self._database.read(lambda connection: [question(connection) for question in questions])

    def question(self, address: str) -> Question:
        """The same of one mailbox, for who reads more than that at a time."""
        hashes = self._mailboxes.all_of(address)
        marks = ", ".join("?" * len(hashes))
        which = f"WHERE kind = ? AND mailbox IN ({marks})"
        sql = f"SELECT 1 FROM web_kept_errand {which} UNION ALL SELECT 1 FROM web_errand {which}"  # noqa: S608 - marks
        bindings = (Errand.REFUSE.value, *hashes) * 2
        return lambda connection: bool(list(connection.execute(sql, bindings)))

    async def next(self, after: KeptErrand, begun: int, limit: int) -> list[KeptErrand]:
        """Those that come after one and were asked by `begun` (milliseconds), the oldest first."""
        rows = await rows_of(self._database, _NEXT, (after.at, after.errand.value, after.sealed, begun, limit))
        return [KeptErrand(at, Errand(kind), bytes(sealed)) for at, kind, sealed in rows]

    def about(self, kept: KeptErrand) -> str | None:
        """Its address or token; None if it was sealed under a key that is gone."""
        return self._seal.open(kept)

    async def forget(self, kept: KeptErrand) -> None:
        """It is done."""
        sql, bindings = "DELETE FROM web_kept_errand WHERE kind = ? AND sealed = ?", (kept.errand.value, kept.sealed)
        await change(self._database, (sql, bindings))

    async def adopt(self) -> None:
        """Seal what an older version kept in clear."""
        while older := await rows_of(self._database, _OLDER):
            sealed = [
                (kind, self._seal.seal(Errand(kind), about), None if kind == Errand.OPT_OUT else mailbox, at, None)
                for kind, about, mailbox, at in older
            ]
            gone = [(kind, about) for kind, about, _, _ in older]

            def work(connection: Connection, sealed: Any = sealed, gone: Any = gone) -> None:
                connection.executemany(_KEEP, sealed)
                connection.executemany("DELETE FROM web_errand WHERE kind = ? AND address = ?", gone)

            await self._database.write(work)
