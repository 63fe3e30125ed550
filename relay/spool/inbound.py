"""The store of what came in from outside: taken before its 250, sorted afterwards, shown, and forgotten in time.

In SQL that every database knows. What follows from an item is written by `relay.spool.inbound_settling`.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from datetime import datetime
from typing import Final

from relay.clock import Clock, from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.ids import SpoolId
from relay.policy.hearing import Purpose
from relay.spool.inbound_rows import delivery_of, item_of, view_of
from relay.spool.inbound_settling import settle
from relay.spool.inbound_values import (
    Consequence,
    InboundFilter,
    InboundItem,
    InboundView,
    NewInbound,
    NewReport,
    RepliesCame,
    SentDelivery,
)
from relay.spool.letter_replies import forget_replies
from relay.spool.report_shares import REPORTS_KEPT, PackedReport, forget_shares
from relay.spool.rows import dump, path_column

_VIEW: Final = (
    "SELECT i.id, i.at, m.peer, i.address, i.purpose, i.message, i.n, i.kind, i.result, i.shown, i.done_at, i.detail,"
    " m.size FROM inbound i JOIN inbound_mail m ON m.id = i.mail"
)

_REPLIES: Final = """
SELECT count(*), count(sorted_at),
  (SELECT count(*) FROM letter_reply a JOIN message m ON m.seq = a.message WHERE m.id = ?)
FROM inbound WHERE message = ? AND n = ? AND purpose = 'reply'
"""


class InboundStore:
    """Over the spool's database, after its migrations."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def take(self, mail: NewInbound) -> list[int]:
        """Commit a mail with an fsync; the ids of its items. Raises SpoolUnavailableError, SpoolFullError."""
        now = to_millis(self._clock.now())
        return await self._database.write(lambda connection: _take(connection, mail, now))

    async def unsorted(self, before: datetime, limit: int) -> list[int]:
        """Items that came before a moment and are still to be sorted, oldest first."""
        rows = await rows_of(
            self._database,
            "SELECT id FROM inbound WHERE sorted_at IS NULL AND at <= ? ORDER BY at LIMIT ?",
            (to_millis(before), limit),
        )
        return [row[0] for row in rows]

    async def begin(self, number: int) -> int:
        """Note that reading begins, of an item that was left unsorted; how often that was, 0 if it is sorted."""

        def work(connection: Connection) -> int:
            rows = connection.execute(
                "UPDATE inbound SET tries = tries + 1 WHERE id = ? AND sorted_at IS NULL RETURNING tries", (number,)
            )
            return next((int(row[0]) for row in list(rows)), 0)

        return await self._database.write(work)

    async def item(self, number: int) -> InboundItem | None:
        """One item as work, None if there is none."""
        rows = await rows_of(
            self._database,
            "SELECT i.id, i.at, m.peer, m.helo, m.reverse_path, i.address, i.purpose, i.message, i.n,"
            " m.content, i.detail FROM inbound i JOIN inbound_mail m ON m.id = i.mail WHERE i.id = ?",
            (number,),
        )
        return item_of(rows[0]) if rows else None

    async def delivery(self, message: SpoolId, n: int) -> SentDelivery | None:
        """The delivery a token names, None if it is not here any more."""
        rows = await rows_of(
            self._database,
            "SELECT m.seq, m.id, d.n, m.tenant, m.door, m.stream, m.reverse_path, m.smtputf8, m.envid, m.ret,"
            " m.prelude, m.accepted_at, d.state, l.domain, r.address, d.notify, r.orcpt,"
            " (SELECT count(*) FROM delivery o WHERE o.message = m.seq)"
            " FROM message m JOIN delivery d ON d.message = m.seq JOIN lane l ON l.id = d.lane"
            " LEFT JOIN recipient r ON r.message = d.message AND r.n = d.n WHERE m.id = ? AND d.n = ?",
            (message, n),
        )
        return delivery_of(rows[0]) if rows else None

    async def settle(self, number: int, consequence: Consequence) -> bool:
        """Write what followed from an item; False if it was sorted already."""
        now = to_millis(self._clock.now())
        document = consequence.document
        # Not in the transaction: a stranger's ten megabytes would hold up whoever commits beside it.
        packed = None if document is None else await asyncio.to_thread(_packed, document)
        return await self._database.write(lambda connection: settle(connection, number, consequence, packed, now))

    async def listing(self, where: InboundFilter) -> list[InboundView]:
        """Items that match, newest first."""
        terms, values = ["1 = 1"], []
        if where.waiting:
            terms.append("(i.shown = 1 AND i.done_at IS NULL)")
        for column, value in (("purpose", where.purpose), ("kind", where.kind)):
            if value:
                terms.append(f"i.{column} = ?")
                values.append(value)
        query = f"{_VIEW} WHERE {' AND '.join(terms)} ORDER BY i.id DESC LIMIT ?"
        rows = await rows_of(self._database, query, (*values, where.limit))
        return [view_of(row) for row in rows]

    async def view(self, number: int) -> InboundView | None:
        """One item as shown."""
        rows = await rows_of(self._database, f"{_VIEW} WHERE i.id = ?", (number,))
        return view_of(rows[0]) if rows else None

    async def done(self, number: int) -> bool:
        """A person has looked at an item; False if nobody needs to."""
        now = to_millis(self._clock.now())

        def work(connection: Connection) -> bool:
            connection.execute(
                "UPDATE inbound SET done_at = ? WHERE id = ? AND shown = 1 AND done_at IS NULL", (now, number)
            )
            return connection.changes() == 1

        return await self._database.write(work)

    async def replies(self, message: SpoolId, n: int) -> RepliesCame:
        """What came to the reply address of a delivery."""
        ((listed, settled, answers),) = await rows_of(self._database, _REPLIES, (message, message, n))
        return RepliesCame(listed, listed - settled, is_answered=answers > 0)

    async def waiting(self, purpose: Purpose) -> tuple[int, datetime | None]:
        """How many items of a purpose wait for a person, and since when the oldest does."""
        query = "SELECT count(*), min(at) FROM inbound WHERE shown = 1 AND done_at IS NULL AND purpose = ?"
        rows = await rows_of(self._database, query, (purpose.value,))
        count, oldest = rows[0]
        return count, None if oldest is None else from_millis(oldest)

    async def forget(self, before: datetime, limit: int) -> int:
        """Delete mails that were sorted and came before a moment, and words that no front fetched; how many mails."""

        def work(connection: Connection) -> int:
            forget_replies(connection, to_millis(before))
            now = self._clock.now()
            forget_shares(connection, to_millis(now), to_millis(now - REPORTS_KEPT))
            old = [
                row[0]
                for row in connection.execute(
                    "SELECT id FROM inbound_mail m WHERE at < ? AND NOT EXISTS"
                    " (SELECT 1 FROM inbound i WHERE i.mail = m.id AND i.sorted_at IS NULL) ORDER BY at LIMIT ?",
                    (to_millis(before), limit),
                )
            ]
            connection.executemany("DELETE FROM inbound WHERE mail = ?", [(one,) for one in old])
            connection.executemany("DELETE FROM inbound_mail WHERE id = ?", [(one,) for one in old])
            return len(old)

        return await self._database.write(work)


def _take(connection: Connection, mail: NewInbound, now: int) -> list[int]:
    rows = list(
        connection.execute(
            "INSERT INTO inbound_mail (at, peer, helo, tls, reverse_path, size, content) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " RETURNING id",
            (now, mail.peer, mail.helo, int(mail.tls), path_column(mail.reverse_path), len(mail.content), mail.content),
        )
    )
    numbers = []
    for one in mail.addresses:
        message, n = one.delivery or (None, None)
        detail = None if one.subject is None else dump({"token": one.subject.hex()})
        numbers += list(
            connection.execute(
                "INSERT INTO inbound (mail, at, address, purpose, message, n, detail) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " RETURNING id",
                (rows[0][0], now, one.address, one.purpose.value, message, n, detail),
            )
        )
    return [row[0] for row in numbers]


def _packed(report: NewReport) -> PackedReport:
    if not report.domain:
        return PackedReport(report.form, "", "", b"", report.reporter)
    digest = hashlib.sha256(report.content).hexdigest()
    return PackedReport(report.form, report.domain, digest, zlib.compress(report.content), report.reporter)
