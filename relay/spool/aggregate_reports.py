"""The stored aggregate reports, read one by one: each may be ten megabytes."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from relay.clock import to_millis
from relay.database.contract import Database
from relay.database.statements import rows_of

MAX_READ: Final = 20_000


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report as it came: `form` is "dmarc" or "tls-rpt"."""

    form: str
    content: bytes = field(repr=False)


async def stored_reports(database: Database, since: datetime) -> AsyncIterator[StoredReport]:
    """Reports that came since a moment, newest first, at most `MAX_READ`. Raises SpoolUnavailableError."""
    query = "SELECT id FROM aggregate_report WHERE at >= ? ORDER BY id DESC LIMIT ?"
    numbers = await rows_of(database, query, (to_millis(since), MAX_READ))
    for (number,) in numbers:
        rows = await database.read(
            lambda connection, number=number: list(  # type: ignore[misc]
                connection.execute("SELECT form, content FROM aggregate_report WHERE id = ?", (number,))
            )
        )
        for form, content in rows:
            yield StoredReport(form, zlib.decompress(bytes(content)))
