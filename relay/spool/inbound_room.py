"""How much room mail from outside may fill: strangers must not fill the disk that accepted mail needs.

Asked by the inbound door before each take. When the room is full the oldest mail goes that is sorted and waits for
nobody, then the oldest aggregate reports; if that is not enough, SpoolFullError, and the stranger hears 452. Half of
the room is kept for mail to tokens of ours: whoever writes to postmaster@ all day cannot keep bounces out.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

from relay.clock import Clock, to_millis
from relay.database.contract import Connection, Database
from relay.database.statements import rows_of
from relay.errors import SpoolFullError
from relay.policy.hearing import Purpose
from relay.spool.inbound_values import NewInbound
from relay.spool.report_shares import REPORTS_KEPT
from relay.wary_clock import WaryClock

LOOK_SECONDS: Final = 10.0
"""After which what other workers took, and what was forgotten, is counted anew."""
AT_ONCE: Final = 100
"""Mails or reports that one transaction deletes."""

_KNOWN: Final = frozenset({Purpose.RETURN, Purpose.UNSUBSCRIBE})
"""Tokens that mail systems send to; whoever may answer a letter is a stranger like others."""
_USED: Final = (
    "SELECT (SELECT coalesce(sum(size), 0) FROM inbound_mail)"
    " + (SELECT coalesce(sum(octet_length(content)), 0) FROM aggregate_report)"
)
_IDLE_MAIL: Final = (
    "SELECT m.id, m.size FROM inbound_mail m WHERE NOT EXISTS (SELECT 1 FROM inbound i WHERE i.mail = m.id"
    " AND (i.sorted_at IS NULL OR (i.shown = 1 AND i.done_at IS NULL))) ORDER BY m.at LIMIT ?"
)
_OLD_REPORTS: Final = "SELECT id, octet_length(content) FROM aggregate_report WHERE at < ? ORDER BY id LIMIT ?"


class InboundRoom:
    """One for each inbound door; the workers of a spool may exceed it by what they take within `LOOK_SECONDS`."""

    def __init__(self, database: Database, clock: Clock, octets: int) -> None:
        self._database = database
        self._clock = WaryClock.of(clock)
        self._octets = octets
        self._used = 0
        self._looked = -inf
        self._one = asyncio.Lock()

    async def make(self, mail: NewInbound) -> None:
        """Count `mail` in. Raises SpoolFullError when it has no room, SpoolUnavailableError."""
        size = len(mail.content)
        known = any(one.purpose in _KNOWN for one in mail.addresses)
        bound = self._octets if known else self._octets // 2
        async with self._one:
            if self._clock.monotonic() - self._looked >= LOOK_SECONDS:
                await self._look()
            while self._used + size > bound:
                freed = await self._database.write(self._free)
                if not freed:
                    raise SpoolFullError("mail from outside has filled inbound.room")
                self._used -= freed
            self._used += size

    async def _look(self) -> None:
        if not self._clock.lead():
            before = to_millis(self._clock.now() - REPORTS_KEPT)
            await self._database.write(lambda connection: _drop_reports(connection, before))
        self._used = (await rows_of(self._database, _USED))[0][0]
        self._looked = self._clock.monotonic()

    def _free(self, connection: Connection) -> int:
        """Delete the oldest of what nobody needs; the octets it filled."""
        mails = list(connection.execute(_IDLE_MAIL, (AT_ONCE,)))
        if not mails:
            return _drop_reports(connection, to_millis(self._clock.now()) + 1)
        connection.executemany("DELETE FROM inbound WHERE mail = ?", [(number,) for number, _ in mails])
        connection.executemany("DELETE FROM inbound_mail WHERE id = ?", [(number,) for number, _ in mails])
        return sum(size for _, size in mails)


def _drop_reports(connection: Connection, before: int) -> int:
    reports = list(connection.execute(_OLD_REPORTS, (before, AT_ONCE)))
    connection.executemany("DELETE FROM aggregate_report WHERE id = ?", [(number,) for number, _ in reports])
    return sum(size for _, size in reports)
