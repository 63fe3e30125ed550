"""What waits for a moderator: counted for the desk's pages, and for the bell that calls one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from relay.clock import from_millis
from relay.database.contract import Connection, Database
from web.letters import HOLD_TIME, HeldFor
from web.network import Network
from web.pile import held_letters, open_notices

_HELD: Final = """
SELECT held_for, COUNT(*), MIN(held_until) FROM web_handover
WHERE held_until IS NOT NULL GROUP BY held_for
"""
_REPORTS: Final = "SELECT COUNT(*), MIN(at) FROM web_report WHERE outcome IS NULL"
_NOTICES: Final = "SELECT COUNT(*), MIN(at) FROM web_notice WHERE outcome IS NULL"
_REPLIES: Final = "SELECT COUNT(*), MIN(held_until) FROM web_reply WHERE state = 'held'"
_OFFERED: Final = "SELECT COUNT(*) FROM web_post WHERE state = 'queued'"
_DANGERS: Final = "SELECT COUNT(*) FROM web_danger WHERE told IS NULL AND closed IS NULL"
_DUE: Final = "SELECT due FROM web_legal_request WHERE closed IS NULL ORDER BY due"
_FROZEN: Final = "SELECT COUNT(*) FROM web_freeze"


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much waits, and since when the oldest of it does."""

    held: Mapping[HeldFor, int]
    held_from: Mapping[Network, int]
    """The same letters by the kind of network they came by."""
    reports: int
    notices: int
    notices_from: Mapping[Network, int]
    replies: int
    """Held ones, by mail to letters."""
    offered: int
    """Letters for the wall; nobody is harmed while they wait, so they count nowhere else."""
    frozen: int
    oldest: datetime | None
    dangers: int
    """Threats to life that the authorities have not been told of; they ring at once, by a bell of their own."""

    requests: tuple[datetime, ...]
    """When each of what authorities ask is due, and nobody has closed it."""

    @property
    def total(self) -> int:
        """Everything that a moderator has to decide about."""
        return sum(self.held.values()) + self.reports + self.notices + self.replies


async def read_backlog(database: Database) -> Backlog:
    """What waits now. Raises SpoolUnavailableError."""

    def work(connection: Connection) -> Backlog:
        held = list(connection.execute(_HELD))
        [(reports, first_report)] = connection.execute(_REPORTS)
        [(notices, first_notice)] = connection.execute(_NOTICES)
        [(replies, first_reply)] = connection.execute(_REPLIES)
        [(offered,)] = connection.execute(_OFFERED)
        [(dangers,)] = connection.execute(_DANGERS)
        requests = tuple(from_millis(due) for (due,) in connection.execute(_DUE))
        [(frozen,)] = connection.execute(_FROZEN)
        ends = [*(until for _, _, until in held), *([] if first_reply is None else [first_reply])]
        began = [from_millis(until) - HOLD_TIME for until in ends]
        began += [from_millis(at) for at in (first_report, first_notice) if at is not None]
        counts = {HeldFor(why): count for why, count, _ in held}
        return Backlog(
            held=counts,
            held_from=held_letters(connection),
            reports=reports,
            notices=notices,
            notices_from=open_notices(connection),
            replies=replies,
            offered=offered,
            frozen=frozen,
            oldest=min(began, default=None),
            dangers=dangers,
            requests=requests,
        )

    return await database.read(work)
