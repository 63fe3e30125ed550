"""What happened lately, from the newest events: how long deliveries took, and what was said of those that failed.

A bounded number of events is looked at, so that it costs the same however many are kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import from_millis
from relay.database.contract import Connection, Database
from relay.event import EventKind
from relay.spool.rows import load

LOOKED_AT: Final = 20_000
"""Events that are looked at, the newest."""

_FAILED: Final = (EventKind.DEFERRED, EventKind.BOUNCED, EventKind.EXPIRED)
_NEWEST: Final = f"e.seq > (SELECT coalesce(max(seq), 0) FROM event) - {LOOKED_AT}"  # noqa: S608 - constants of ours
TOOK: Final = (
    "SELECT e.at - CASE WHEN m.send_at > m.accepted_at THEN m.send_at ELSE m.accepted_at END"  # noqa: S608
    f" FROM event e JOIN message m ON m.seq = e.message WHERE e.kind = {int(EventKind.DELIVERED)} AND {_NEWEST}"
    " AND m.reverse_path IS NOT NULL"  # as in the figures: our own reports are nobody's mail
)
FAILED: Final = (
    "SELECT e.at, e.kind, e.detail FROM event e"  # noqa: S608 - constants of ours
    f" WHERE e.kind IN ({', '.join(str(int(kind)) for kind in _FAILED)}) AND {_NEWEST} ORDER BY e.seq DESC"
)
_REACH: Final = f"SELECT min(e.at) FROM event e WHERE {_NEWEST}"  # noqa: S608 - constants of ours
_CHANGING: Final = re.compile(r"\S*[\d@]\S*")
_CODE: Final = re.compile(r"\d{3}(?:[ -]\d\.\d{1,3}\.\d{1,3})?")
_LONGEST: Final = 160


@dataclass(frozen=True, slots=True)
class Failure:
    """A delivery that did not succeed: who said what of it. `about` is the scope that its meaning has."""

    at: datetime
    kind: EventKind
    host: str
    source: str
    decided_by: str
    about: str
    meaning: str
    reply: str

    @property
    def code(self) -> str:
        """The reply's code with its enhanced one, as in "450 4.2.1"; "" without one."""
        match = _CODE.match(self.reply)
        return match[0] if match else ""

    @property
    def kin(self) -> str:
        """The reply without what changes each time (numbers, addresses): the same for replies that are alike."""
        rest = self.reply[len(self.code) :]
        return f"{self.code}{_CHANGING.sub('…', rest)}"[:_LONGEST]


@dataclass(frozen=True, slots=True)
class Lately:
    """How long deliveries took, shortest first, and what failed, the newest first; both since `reach`."""

    reach: datetime | None
    took: tuple[timedelta, ...]
    failures: tuple[Failure, ...]

    def quantile(self, part: float) -> timedelta | None:
        """The time within which such a part of the deliveries was done; None if there was none."""
        if not self.took:
            return None
        return self.took[min(len(self.took) - 1, int(part * len(self.took)))]


async def lately(database: Database) -> Lately:
    """What the newest events tell. Raises SpoolUnavailableError."""

    def work(connection: Connection) -> Lately:
        ((reach,),) = list(connection.execute(_REACH))
        took = sorted(timedelta(milliseconds=max(0, span)) for (span,) in connection.execute(TOOK))
        failures = tuple(_failure(at, kind, load(detail)) for at, kind, detail in connection.execute(FAILED))
        return Lately(None if reach is None else from_millis(reach), tuple(took), failures)

    return await database.read(work)


def _failure(at: int, kind: int, detail: Mapping[str, Any]) -> Failure:
    diagnosis = detail.get("diagnosis")
    told = diagnosis if isinstance(diagnosis, Mapping) else {}
    return Failure(
        from_millis(at),
        EventKind(kind),
        str(detail.get("host", "")),
        str(detail.get("source", "")),
        str(detail.get("decided_by", "")),
        str(told.get("scope") or detail.get("scope", "")),
        str(told.get("meaning", "")),
        " ".join(str(detail.get("reply") or detail.get("reason") or "").split()),
    )
