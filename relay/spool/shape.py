"""The shape of the queue: how much is unfinished in each lane and how old it is, and what of a domain comes next.

Counted in one pass over the indexes of unfinished deliveries, which hold the number of each one's message: messages
are numbered as they come, so an age is a comparison of numbers, and no row of a message is looked at but each lane's
first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from relay.clock import from_millis, to_millis
from relay.database.contract import Connection, Database
from relay.policy.state import State
from relay.spool.inquiry import DeliveryView
from relay.spool.search import id_at
from relay.spool.views import deliveries_named

AGES: Final = (
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=4),
    timedelta(days=1),
    timedelta(days=3),
)
"""Where one age ends and the next begins; the last has no end."""

_NEVER: Final = 2**62
_YOUNGER: Final = ", ".join(["CAST(sum(CASE WHEN message >= ? THEN 1 ELSE 0 END) AS BIGINT)"] * len(AGES))
_STATES: Final = (State.WAITING, State.LEASED, State.HELD)


def _counted(state: State) -> str:
    due = "min(due)" if state is State.WAITING else "CAST(NULL AS BIGINT)"
    return (
        f"SELECT lane, {int(state)} AS state, count(*) AS total, min(message) AS first, {due} AS due, {_YOUNGER}"  # noqa: S608
        f" FROM delivery WHERE state = {int(state)} GROUP BY lane"
    )


COUNTED: Final = " UNION ALL ".join(_counted(state) for state in _STATES)
_DATED: Final = f"SELECT q.*, m.accepted_at FROM ({COUNTED}) AS q LEFT JOIN message m ON m.seq = q.first"  # noqa: S608
_SINCE: Final = "SELECT min(seq) FROM (SELECT seq FROM message WHERE id >= ? ORDER BY id LIMIT ?) AS early"
_ALIKE: Final = 1000
"""Messages of one moment that are told apart from older ones: within it, ids and numbers have orders of their own."""
_LANES: Final = (
    "SELECT l.id, coalesce(t.name, CAST(l.tenant AS TEXT)), l.domain, coalesce(l.site, '')"
    " FROM lane l LEFT JOIN tenant t ON t.id = l.tenant"
)


@dataclass(frozen=True, slots=True)
class LaneShape:
    """A lane's unfinished deliveries. `ages` counts them by age, the youngest first: one more than `AGES`."""

    tenant: str
    domain: str
    site: str
    """Where its mail last went; empty before the first look-up."""
    waiting: int
    leased: int
    held: int
    ages: tuple[int, ...]
    oldest: datetime | None
    next_due: datetime | None

    @property
    def unfinished(self) -> int:
        """All that is owed still."""
        return self.waiting + self.leased + self.held


async def queue_shape(database: Database, now: datetime) -> list[LaneShape]:
    """Every lane with unfinished deliveries, the longest first. Raises SpoolUnavailableError."""

    def work(connection: Connection) -> list[LaneShape]:
        return sorted(_shapes(connection, now), key=lambda one: (-one.unfinished, one.domain, one.tenant))

    return await database.read(work)


def _shapes(connection: Connection, now: datetime) -> Iterator[LaneShape]:
    bounds = [_first_since(connection, now - age) for age in AGES]
    found: dict[int, list[tuple[Any, ...]]] = {}
    for lane, *row in connection.execute(_DATED, bounds * len(_STATES)):
        found.setdefault(lane, []).append(tuple(row))
    if not found:
        return
    named = {lane: (str(tenant), domain, site) for lane, tenant, domain, site in connection.execute(_LANES)}
    for lane, rows in found.items():
        totals = {State(row[0]): int(row[1]) for row in rows}
        # How many are at most so old, for each age and for all; the ages are what lies between two of them.
        upto = [*(sum(row[4 + n] for row in rows) for n in range(len(AGES))), sum(totals.values())]
        dues = [row[3] for row in rows if row[3] is not None]
        accepted = [row[-1] for row in rows if row[-1] is not None]
        yield LaneShape(
            *named.get(lane, ("", "", "")),
            totals.get(State.WAITING, 0),
            totals.get(State.LEASED, 0),
            totals.get(State.HELD, 0),
            tuple(later - earlier for earlier, later in zip([0, *upto], upto, strict=False)),
            from_millis(min(accepted)) if accepted else None,
            from_millis(min(dues)) if dues else None,
        )


def _first_since(connection: Connection, moment: datetime) -> int:
    """The number that messages since a moment have at least."""
    ((first,),) = list(connection.execute(_SINCE, (id_at(to_millis(moment)), _ALIKE)))
    return _NEVER if first is None else int(first)


_NEXT: Final = "SELECT due, message, n FROM delivery WHERE lane = ? AND state = 1 ORDER BY due, message, n LIMIT ?"
_HELD: Final = "SELECT 0, message, n FROM delivery WHERE lane = ? AND state = 3 LIMIT ?"


async def next_of_domain(database: Database, domain: str, state: State, limit: int) -> list[DeliveryView]:
    """A domain's waiting deliveries, the next due first, or some of those that are held."""

    def work(connection: Connection) -> list[DeliveryView]:
        query = _NEXT if state is State.WAITING else _HELD
        lanes = [lane for (lane,) in list(connection.execute("SELECT id FROM lane WHERE domain = ?", (domain,)))]
        keys = sorted(key for lane in lanes for key in connection.execute(query, (lane, limit)))
        return deliveries_named(connection, [(seq, n) for _, seq, n in keys[:limit]])

    return await database.read(work)
