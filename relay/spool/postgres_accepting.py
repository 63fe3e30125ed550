"""Accept on PostgreSQL: any number of messages in a few statements of one transaction.

The meaning is that of `relay.spool.accepting`; here the rows travel as arrays, because a statement costs more
than a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from relay.clock import to_millis
from relay.database.postgres import Transaction
from relay.errors import SpoolUnavailableError
from relay.event import EventKind
from relay.ids import SpoolId
from relay.policy.state import State
from relay.spool.accepting import suppressed_detail
from relay.spool.bodies import GIVEN_UP, PIECE
from relay.spool.message_row import MESSAGE_COLUMNS, message_row
from relay.spool.postgres_bodies import adopt, gone_bodies
from relay.spool.postgres_effects import Effects, columns
from relay.spool.postgres_idempotency import Answer, Keys
from relay.spool.rows import dump
from relay.spool.work import NewMessage, Receipt

SUSPENDED_UNTIL: Final = """
(SELECT max(s.until) FROM suspension s WHERE (s.tenant IS NULL OR s.tenant = lane.tenant)
  AND (s.domain IS NULL OR s.domain = lane.domain) AND (s.site IS NULL OR s.site = lane.site)
  AND s.source IS NULL)
"""
"""Of a lane: until when a suspension stops it, or NULL."""

_SLICE: Final = 16
"""Pieces of large content in one statement: 4 MiB."""

LIVING: Final = "SELECT id FROM incarnation WHERE id = ANY($1::bigint[]) AND ended IS NULL FOR KEY SHARE"
"""Those that may take leases; whoever ends one locks its row first, and so waits for what it takes here."""

_LANES: Final = f"""
WITH wanted AS MATERIALIZED (
  SELECT DISTINCT tenant, domain FROM unnest($1::bigint[], $2::text[]) AS w(tenant, domain)
), made AS (
  INSERT INTO lane (tenant, domain)
  SELECT tenant, domain FROM wanted w
  WHERE NOT EXISTS (SELECT FROM lane l WHERE l.tenant = w.tenant AND l.domain = w.domain)
  ORDER BY tenant, domain
  ON CONFLICT DO NOTHING
  RETURNING id, tenant, domain, due, site
)
SELECT lane.id, lane.tenant, lane.domain, lane.due, {SUSPENDED_UNTIL} FROM wanted JOIN lane USING (tenant, domain)
UNION ALL
SELECT lane.id, lane.tenant, lane.domain, lane.due, {SUSPENDED_UNTIL} FROM made lane
"""  # noqa: S608 - a constant of ours

_WRITE: Final = """
WITH new AS (
  INSERT INTO message ({number}{names})
  SELECT * FROM unnest({numbers}{values})
  RETURNING seq, id
), filled AS (
  INSERT INTO content (message, piece, data)
  SELECT new.seq, 0, c.data FROM unnest($20::text[], $21::bytea[]) AS c(id, data) JOIN new USING (id)
), owed AS (
  INSERT INTO delivery (message, n, lane, state, initial, attempts, due, lease, notify)
  SELECT new.seq, d.n, d.lane, d.state, d.initial, 0, d.due, d.lease, d.notify
  FROM unnest($22::text[], $23::int[], $24::bigint[], $25::smallint[], $26::smallint[], $27::bigint[], $28::bigint[],
    $29::smallint[]) AS d(id, n, lane, state, initial, due, lease, notify) JOIN new USING (id)
), named AS (
  INSERT INTO recipient (message, n, address, orcpt)
  SELECT new.seq, r.n, r.address, r.orcpt
  FROM unnest($22::text[], $23::int[], $30::text[], $31::text[]) AS r(id, n, address, orcpt) JOIN new USING (id)
), tagged AS (
  INSERT INTO message_tag (tenant, tag, message)
  SELECT t.tenant, t.tag, new.seq
  FROM unnest($37::text[], $38::bigint[], $39::text[]) AS t(id, tenant, tag) JOIN new USING (id)
), told AS (
  INSERT INTO event (at, message, n, kind, detail)
  SELECT e.at, new.seq, e.n, e.kind, e.detail
  FROM unnest($32::text[], $33::bigint[], $34::int[], $35::smallint[], $36::text[]) WITH ORDINALITY
    AS e(id, at, n, kind, detail, position) JOIN new USING (id)
  ORDER BY e.position
)
SELECT id, seq FROM new
"""
_NAMES: Final = ", ".join(MESSAGE_COLUMNS)
_VALUES: Final = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(MESSAGE_COLUMNS.values(), 1))
_ACCEPT: Final = _WRITE.format(number="", numbers="", names=_NAMES, values=_VALUES)
_ACCEPT_NUMBERED: Final = _WRITE.format(number="seq, ", numbers="$40::bigint[], ", names=_NAMES, values=_VALUES)
"""The same for messages whose bodies lie under their numbers already."""

_CONTENT: Final = "INSERT INTO content (message, piece, data) SELECT $1::bigint, * FROM unnest($2::int[], $3::bytea[])"


@dataclass(frozen=True, slots=True)
class _Lane:
    id: int
    due: int | None
    suspended_until: int | None

    def clear(self, due: int) -> bool:
        """Whether its mail may go at `due`: nothing older waits in it and no suspension stops it."""
        suspended = self.suspended_until is not None and self.suspended_until > due
        return not suspended and (self.due is None or self.due > due)


async def accept_all(
    transaction: Transaction, messages: Sequence[NewMessage], effects: Effects
) -> list[Answer | SpoolUnavailableError]:
    """Write messages with their deliveries and events; the answer to each, in order."""
    gone = await gone_bodies(transaction, messages)
    keys = Keys([message for message in messages if message.id not in gone])
    await keys.take(transaction)
    new = keys.new
    receipts = await _write(transaction, [message for message in new if message.number is None], effects)
    receipts |= await _write(transaction, [message for message in new if message.number is not None], effects)
    await adopt(transaction, new, {one.id: one.seq for one in receipts.values()})
    answers = iter(keys.answers(receipts))
    return [SpoolUnavailableError(GIVEN_UP) if message.id in gone else next(answers) for message in messages]


async def _write(transaction: Transaction, messages: Sequence[NewMessage], effects: Effects) -> dict[SpoolId, Receipt]:
    if not messages:
        return {}
    numbers = [message.number for message in messages]
    rows = _Rows(await _living(transaction, messages), await _lanes(transaction, messages), effects)
    for message in messages:
        rows.add(message)
    if numbers[0] is None:
        seqs: dict[str, int] = dict(await transaction.fetch(_ACCEPT, *rows.arrays()))
    else:
        seqs = dict(await transaction.fetch(_ACCEPT_NUMBERED, *rows.arrays(), numbers))
    for message in messages:
        if len(message.content) > PIECE:
            await _write_pieces(transaction, seqs[message.id], message.content)
    return {message.id: Receipt(message.id, seqs[message.id], rows.leased[message.id]) for message in messages}


async def _living(transaction: Transaction, messages: Sequence[NewMessage]) -> frozenset[int]:
    asked = {message.lease_to for message in messages if message.lease_to is not None}
    if not asked:
        return frozenset()
    return frozenset(row[0] for row in await transaction.fetch(LIVING, list(asked)))


async def _lanes(transaction: Transaction, messages: Sequence[NewMessage]) -> dict[tuple[int, str], _Lane]:
    """The lanes of the messages' deliveries, made where there was none."""
    wanted = {
        (message.tenant, recipient.address.domain) for message in messages for recipient in message.envelope.recipients
    }
    lanes: dict[tuple[int, str], _Lane] = {}
    while len(lanes) < len(wanted):
        # What another transaction made meanwhile is in neither half of the answer; it is in the next one's.
        for lane, tenant, domain, due, until in await transaction.fetch(_LANES, *columns(list(wanted), 2)):
            lanes[tenant, domain] = _Lane(lane, due, until)
    return lanes


class _Rows:
    """Messages as the arrays of `_ACCEPT`."""

    def __init__(self, living: frozenset[int], lanes: dict[tuple[int, str], _Lane], effects: Effects) -> None:
        self._living = living
        self._lanes = lanes
        self._effects = effects
        self.leased: dict[SpoolId, frozenset[int]] = {}
        self._messages: list[tuple[Any, ...]] = []
        self._tags: list[tuple[str, int, str]] = []
        self._contents: list[tuple[str, bytes]] = []
        self._deliveries: list[tuple[Any, ...]] = []
        self._events: list[tuple[Any, ...]] = []

    def arrays(self) -> list[list[Any]]:
        """The bindings of `_ACCEPT`."""
        return [
            *columns(self._messages, len(MESSAGE_COLUMNS)),
            *columns(self._contents, 2),
            *columns(self._deliveries, 10),
            *columns(self._events, 5),
            *columns(self._tags, 3),
        ]

    def add(self, message: NewMessage) -> None:
        """A message that is new."""
        at = to_millis(message.accepted_at)
        states = [message.initial.get(n, State.WAITING) for n in range(len(message.envelope.recipients))]
        owed = sum(1 for state in states if not state.final)
        self._messages.append(message_row(message, owed))
        self._tags += [(message.id, message.tenant, tag) for tag in dict.fromkeys(message.tags)]
        if len(message.content) <= PIECE:
            self._contents.append((message.id, message.content))
        self._add_deliveries(message, at, states)
        self._add_events(message, at, states)

    def _add_deliveries(self, message: NewMessage, at: int, states: Sequence[State]) -> None:
        due = to_millis(message.due)
        may_lease = message.lease_to in self._living and due <= at
        leased: set[int] = set()
        for n, recipient in enumerate(message.envelope.recipients):
            key = (message.tenant, recipient.address.domain)
            lane = self._lanes[key]
            state = states[n]
            if state is State.WAITING and may_lease and lane.clear(due):
                state = State.LEASED
                leased.add(n)
            elif state is State.WAITING:
                self._effects.advance(lane.id, due)
                # What is accepted in the same transaction stands behind it too.
                self._lanes[key] = replace(lane, due=due if lane.due is None else min(lane.due, due))
            self._deliveries.append(
                (
                    message.id,
                    n,
                    lane.id,
                    int(state),
                    int(states[n]),
                    due if state in (State.WAITING, State.LEASED) else None,
                    message.lease_to if state is State.LEASED else None,
                    None if recipient.notify is None else int(recipient.notify),
                    str(recipient.address),
                    recipient.orcpt,
                )
            )
        self.leased[message.id] = frozenset(leased)

    def _add_events(self, message: NewMessage, at: int, states: Sequence[State]) -> None:
        self._events.append((message.id, at, None, int(EventKind.ACCEPTED), None))
        for n, state in enumerate(states):
            if state is State.SUPPRESSED:
                detail = suppressed_detail(message, n)
                self._events.append((message.id, at, n, int(EventKind.SUPPRESSED), detail))
            elif state is State.HELD:
                held = dump({"reason": message.hold_reason})
                self._events.append((message.id, at, n, int(EventKind.HELD), held))


async def _write_pieces(transaction: Transaction, seq: int, content: bytes) -> None:
    """Large content, a few pieces a statement: the driver copies what it sends."""
    view = memoryview(content)
    pieces = [view[start : start + PIECE] for start in range(0, len(content), PIECE)]
    for first in range(0, len(pieces), _SLICE):
        part = pieces[first : first + _SLICE]
        await transaction.execute(_CONTENT, seq, list(range(first, first + len(part))), part)
