"""The promise, checked against the spool's own tables after every commit.

The new events are read after each commit (a final event comes once, and nothing but a late result after it; a due
time lies in the future). Every so often the tables are checked as a whole: no acknowledged message is missing,
states sum up to what was accepted, a lease names a living incarnation, a lane knows of its earliest delivery.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import apsw

from relay.clock import to_millis
from relay.event import EventKind
from relay.policy.state import State
from tests.simulation.ledger import Ledger

FINAL_KINDS: Final = {
    EventKind.DELIVERED: State.DELIVERED,
    EventKind.BOUNCED: State.BOUNCED,
    EventKind.EXPIRED: State.EXPIRED,
    EventKind.SUPPRESSED: State.SUPPRESSED,
    EventKind.CANCELLED: State.CANCELLED,
}
TICK_MILLIS: Final = 1000
"""Due times are told in whole seconds."""
WHOLE_EVERY: Final = 25
"""Commits between two checks of the whole."""

_WHOLE: Final = (
    (
        "a message's count of open deliveries is wrong",
        (
            "SELECT m.id FROM message m JOIN delivery d ON d.message = m.seq GROUP BY m.seq"
            " HAVING m.open != sum(d.state < 10) OR (m.final_at IS NULL) != (sum(d.state < 10) > 0)"
        ),
    ),
    ("a message has no delivery", "SELECT id FROM message WHERE seq NOT IN (SELECT message FROM delivery)"),
    (
        "a lease names no living incarnation",
        (
            "SELECT d.message, d.n FROM delivery d LEFT JOIN incarnation i ON i.id = d.lease AND i.ended IS NULL"
            " WHERE d.state = 2 AND i.id IS NULL"
        ),
    ),
    (
        "a delivery that is not leased names a lease",
        "SELECT message, n FROM delivery WHERE state != 2 AND lease NOTNULL",
    ),
    ("a waiting delivery has no due time", "SELECT message, n FROM delivery WHERE state IN (1, 2) AND due IS NULL"),
    (
        "a lane does not know of its earliest delivery",
        (
            "SELECT l.domain FROM lane l JOIN delivery d ON d.lane = l.id AND d.state = 1"
            " GROUP BY l.id HAVING l.due IS NULL OR l.due > min(d.due)"
        ),
    ),
    (
        "content is missing",
        "SELECT id FROM message WHERE open > 0 AND seq NOT IN (SELECT message FROM content)",
    ),
)


class FinalStates:
    """The final state of each delivery (message, n), a byte each: a million of them weigh a megabyte."""

    def __init__(self) -> None:
        self._states: dict[int, bytearray] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, message: int, n: int) -> State | None:
        """None is not final."""
        states = self._states.get(n, b"")
        return State(states[message]) if message < len(states) and states[message] else None

    def add(self, message: int, n: int, state: State) -> None:
        """A delivery that was not final is."""
        states = self._states.setdefault(n, bytearray())
        if message >= len(states):
            states.extend(bytes(message + 1 - len(states)))
        states[message] = state
        self._count += 1


@dataclass(eq=False)
class Spoolcheck:
    """Reads the spool's file beside the relay, on a connection of its own."""

    path: Path
    ledger: Ledger
    trace: Callable[[str], None]
    whole_every: int = WHOLE_EVERY
    finals: FinalStates = field(default_factory=FinalStates)
    events: int = 0
    late: int = 0
    notices: int = 0
    _seen: int = 0
    _commits: int = 0
    _connection: apsw.Connection | None = None

    def _rows(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        return iter(self._connection.execute(sql, values))

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()

    def committed(self) -> None:
        """After a commit: the new events, and now and then the whole."""
        if self._commits == 0 and not list(self._rows("SELECT 1 FROM sqlite_schema WHERE name = 'request'")):
            return  # not migrated yet
        self._commits += 1
        for row in list(
            self._rows("SELECT seq, message, n, kind, at, detail FROM event WHERE seq > ? ORDER BY seq", self._seen)
        ):
            self._seen = row[0]
            self._event(*row[1:])
        if self._commits % self.whole_every == 0:
            self.whole()

    def _event(self, message: int, n: int | None, number: int, at: int, detail: str | None) -> None:
        kind = EventKind(number)
        self.events += 1
        self.trace(f"event {message}.{n} {kind.label} {at}")
        if n is None:
            return
        facts = json.loads(detail) if detail else {}
        if kind is EventKind.ATTEMPTED:
            self.late += 1
            return
        if (final := self.finals.get(message, n)) is not None:
            self._broken(f"{message}.{n}: {kind.label} after its final event {final.label}")
            return
        if kind in FINAL_KINDS:
            self._final(message, n, FINAL_KINDS[kind], facts)
        elif (
            "next_due" in facts
            and to_millis(datetime.fromisoformat(facts["next_due"])) < self._tried_at(message, n, at) - TICK_MILLIS
        ):
            self._broken(f"{message}.{n}: deferred into the past")

    def _tried_at(self, message: int, n: int, at: int) -> int:
        """When the last attempt ended: its settlement may have had to wait for the disk, so `at` is later.

        The last by its number: the clock may have been put back since the one before.
        """
        query = "SELECT at FROM attempt WHERE message = ? AND n = ? ORDER BY number DESC LIMIT 1"
        tried: list[int] = [row[0] for row in self._rows(query, message, n)]
        return min([at, *tried])

    def _final(self, message: int, n: int, state: State, facts: dict[str, Any]) -> None:
        self.finals.add(message, n, state)
        for address, door in self._rows(
            "SELECT r.address, m.door FROM recipient r JOIN message m ON m.seq = r.message"
            " WHERE r.message = ? AND r.n = ?",
            message,
            n,
        ):
            if door == "notice":
                self.notices += 1
                return
            self.ledger.final(address, state)
            if state is State.EXPIRED and not facts.get("attempt"):
                self._broken(f"{address} expired without an attempt")

    def whole(self) -> None:
        """Check the tables as a whole."""
        for words, sql in _WHOLE:
            for row in self._rows(sql):
                self._broken(f"{words}: {row}")
        for recipient in self.ledger.missing(self._deliveries()):
            self._broken(f"acknowledged recipient {recipient} is missing")
        states = dict(self._rows("SELECT state, count(*) FROM delivery GROUP BY state"))
        recipients = next(self._rows("SELECT count(*) FROM recipient"))[0]
        if sum(states.values()) != recipients:
            self._broken(f"{recipients} recipients were accepted, {sum(states.values())} deliveries exist")
        finals = sum(count for state, count in states.items() if State(state).final)
        if finals != len(self.finals):
            self._broken(f"{finals} deliveries are final, {len(self.finals)} final events exist")

    @property
    def commits(self) -> int:
        """Commits seen."""
        return self._commits

    def states(self) -> dict[str, int]:
        """Deliveries by state."""
        rows = self._rows("SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state")
        return {State(state).label: count for state, count in rows}

    def open_deliveries(self) -> int:
        """Deliveries that are not final: each state is counted by an index of its own."""
        sql = " + ".join(f"(SELECT count(*) FROM delivery WHERE state = {state})" for state in (1, 2, 3))
        return int(next(self._rows(f"SELECT {sql}"))[0])

    def attempts(self) -> int:
        """Attempts made for all deliveries."""
        return int(next(self._rows("SELECT coalesce(sum(attempts), 0) FROM delivery"))[0])

    def queued_by_domain(self) -> dict[str, int]:
        """Deliveries waiting and under way, by domain."""
        if self._commits == 0:
            return {}
        rows = self._rows(
            "SELECT l.domain, sum(d.many) FROM lane l JOIN ("
            "SELECT lane, count(*) AS many FROM delivery WHERE state = 1 GROUP BY lane UNION ALL"
            " SELECT lane, count(*) FROM delivery WHERE state = 2 GROUP BY lane) d ON d.lane = l.id GROUP BY l.domain"
        )
        return dict(rows)

    def unfinished(self, limit: int = 5) -> list[str]:
        """Some deliveries that are not final, for the report of a failure."""
        rows = self._rows(
            "SELECT message || '.' || d.n || ' ' || r.address || ' state ' || state || ' attempts ' || attempts"
            " || ' due ' || coalesce(due, '-') || ' lease ' || coalesce(lease, '-')"
            " FROM delivery d JOIN recipient r USING (message, n) WHERE state < 10 LIMIT ?",
            limit,
        )
        return [row[0] for row in rows]

    def lost(self) -> list[str]:
        """Acknowledged recipients that are neither waiting nor final, or delivered to nobody."""
        return [*self.ledger.missing(self._deliveries()), *self.ledger.untaken()]

    def _deliveries(self) -> Iterator[tuple[Any, ...]]:
        """All (message id, recipient) that have a delivery."""
        return self._rows(
            "SELECT m.id, r.address FROM delivery d JOIN message m ON m.seq = d.message"
            " JOIN recipient r ON r.message = d.message AND r.n = d.n"
        )

    def _broken(self, words: str) -> None:
        if words not in self.ledger.broken:
            self.ledger.broken.append(words)
