"""What the steps of a batch leave to be written on PostgreSQL: events, attempts, closed messages, lanes' times.

The steps collect; `Effects.write` writes everything in two statements, however many messages are in the batch.
Rows that several transactions want are locked in one order, so that they wait for each other and never in a ring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from relay.database.postgres import Transaction
from relay.event import EventKind
from relay.policy.state import State
from relay.spool.rows import dump

_WRITE: Final = """
WITH told AS (
  INSERT INTO event (at, message, n, kind, detail)
  SELECT at, message, n, kind, detail
  FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::smallint[], $5::text[]) WITH ORDINALITY
    AS e(at, message, n, kind, detail, position)
  ORDER BY position
), tried AS (
  INSERT INTO attempt (message, n, number, at, detail, transcript)
  SELECT * FROM unnest($6::bigint[], $7::int[], $8::int[], $9::bigint[], $10::text[], $11::text[])
), closed AS MATERIALIZED (
  SELECT m.seq, c.ended
  FROM message m JOIN unnest($12::bigint[], $13::int[]) AS c(seq, ended) ON c.seq = m.seq
  ORDER BY m.seq FOR NO KEY UPDATE OF m
)
UPDATE message SET open = open - closed.ended, final_at = CASE WHEN open = closed.ended THEN $14::bigint END
FROM closed WHERE message.seq = closed.seq
"""

_ADVANCE: Final = """
WITH locked AS MATERIALIZED (
  SELECT l.id, l.due AS stands, w.due
  FROM lane l JOIN unnest($1::bigint[], $2::bigint[]) AS w(lane, due) ON w.lane = l.id
  ORDER BY l.id FOR NO KEY UPDATE OF l
)
UPDATE lane SET due = locked.due
FROM locked WHERE lane.id = locked.id AND (locked.stands IS NULL OR locked.stands > locked.due)
"""

_CANCEL: Final = f"""
UPDATE delivery d SET state = {int(State.CANCELLED)}, due = NULL, lease = NULL, asked = NULL
FROM unnest($1::bigint[], $2::int[]) AS c(message, n) WHERE d.message = c.message AND d.n = c.n
"""  # noqa: S608 - a number of ours

Attempt = tuple[int, int, int, int, str, str]


@dataclass(slots=True)
class Effects:
    """Collected in one transaction; `now` in milliseconds."""

    now: int
    events: list[tuple[int, int, int | None, int, str | None]] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    closed: Counter[int] = field(default_factory=Counter)
    lanes: dict[int, int] = field(default_factory=dict)
    cancelled: list[tuple[int, int]] = field(default_factory=list)

    def tell(self, seq: int, n: int | None, kind: EventKind, detail: str | None) -> None:
        """One event, now."""
        self.events.append((self.now, seq, n, int(kind), detail))

    def close(self, seq: int) -> None:
        """One delivery of the message became final."""
        self.closed[seq] += 1

    def cancel(self, seq: int, n: int, reason: str) -> None:
        """A delivery becomes CANCELLED, with its event."""
        self.cancelled.append((seq, n))
        self.close(seq)
        self.tell(seq, n, EventKind.CANCELLED, dump({"reason": reason}))

    def advance(self, lane: int, due: int) -> None:
        """A delivery of the lane waits, due at `due`."""
        self.lanes[lane] = min(due, self.lanes.get(lane, due))

    async def write(self, transaction: Transaction) -> None:
        """Write everything collected."""
        if self.cancelled:
            await transaction.execute(_CANCEL, *columns(self.cancelled, 2))
        if self.events or self.attempts or self.closed:
            await transaction.execute(
                _WRITE,
                *columns(self.events, 5),
                *columns(self.attempts, 6),
                list(self.closed.keys()),
                list(self.closed.values()),
                self.now,
            )
        await advance_lanes(transaction, self.lanes)


async def advance_lanes(transaction: Transaction, dues: dict[int, int]) -> None:
    """Let lanes know of WAITING deliveries by their earliest due times.

    The lane is locked even when its time is early enough: a claim that finds the lane empty meanwhile would
    otherwise write that nothing waits there, not seeing the delivery this transaction has yet to commit.
    """
    if dues:
        await transaction.execute(_ADVANCE, list(dues.keys()), list(dues.values()))


def columns(rows: Sequence[Iterable[Any]], width: int) -> list[list[Any]]:
    """Rows as the arrays that `unnest` makes rows of again."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
