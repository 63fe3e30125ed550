"""Letters to the operator's own mailboxes elsewhere, as rows: where each arrived, kept as long as the figures.

Written by `leak doctor --seeds`, read for its history and its chart. SQL that every database knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection


class Landing(StrEnum):
    """Where a letter ended, as stored."""

    INBOX = "inbox"
    JUNK = "junk"
    OTHER = "other"
    """Another folder: some filter of the mailbox."""
    MISSING = "missing"
    """Taken by the provider, and in no folder."""
    REFUSED = "refused"
    WAITING = "waiting"
    """Still in the spool when the time was over."""


@dataclass(frozen=True, slots=True)
class SeedLetter:
    """One letter to one seed. `delay` is in seconds; results are in the receiver's own words, "" = not told."""

    seed: str
    sent: datetime
    landing: Landing
    folder: str = ""
    spf: str = ""
    dkim: str = ""
    dmarc: str = ""
    tls: str = ""
    delay: float | None = None


_COLUMNS = "seed, sent, landing, folder, spf, dkim, dmarc, tls, delay"


def add_seed_letters(connection: Connection, letters: Sequence[SeedLetter]) -> None:
    """Keep what became of letters; a letter that was kept before is replaced."""
    rows = [
        (
            *(one.seed, to_millis(one.sent), one.landing.value, one.folder),
            *(one.spf, one.dkim, one.dmarc, one.tls),
            None if one.delay is None else round(one.delay * 1000),
        )
        for one in letters
    ]
    connection.executemany(
        f"INSERT INTO seed_letter ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (seed, sent)"  # noqa: S608 - constants of ours
        " DO UPDATE SET landing = excluded.landing, folder = excluded.folder, spf = excluded.spf,"
        " dkim = excluded.dkim, dmarc = excluded.dmarc, tls = excluded.tls, delay = excluded.delay",
        rows,
    )


def seed_letters(connection: Connection, since: datetime) -> list[SeedLetter]:
    """The letters sent since then, by seed and time."""
    query = f"SELECT {_COLUMNS} FROM seed_letter WHERE sent >= ? ORDER BY seed, sent"  # noqa: S608
    return [
        SeedLetter(
            *(seed, from_millis(sent), Landing(landing), folder, spf, dkim, dmarc, tls),
            delay=None if delay is None else delay / 1000,
        )
        for seed, sent, landing, folder, spf, dkim, dmarc, tls, delay in connection.execute(query, (to_millis(since),))
    ]


def forget_seed_letters(connection: Connection, before: datetime) -> None:
    """Delete what is older."""
    connection.execute("DELETE FROM seed_letter WHERE sent < ?", (to_millis(before),))
