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


@dataclass(eq=False)
class Spoolcheck:
    """Reads the spool's file beside the relay, on a connection of its own."""

    path: Path
    ledger: Ledger
    trace: Callable[[str], None]
    finals: dict[tuple[int, int], State] = field(default_factory=dict)
    final_recipients: dict[str, State] = field(default_factory=dict)
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
        if self._commits % WHOLE_EVERY == 0:
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
        if (message, n) in self.finals:
            self._broken(f"{message}.{n}: {kind.label} after its final event {self.finals[message, n].label}")
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
        self.finals[message, n] = state
        for address, door in self._rows(
            "SELECT r.address, m.door FROM recipient r JOIN message m ON m.seq = r.message"
            " WHERE r.message = ? AND r.n = ?",
            message,
            n,
        ):
            if door == "notice":
                self.notices += 1
                return
            self.final_recipients[address] = state
            takes = self.ledger.takes.get(address, [])
            if state is State.DELIVERED and not takes:
                self._broken(f"{address} is delivered and nobody took it")
            if state is not State.DELIVERED and any(take.heard and not take.reason() for take in takes):
                self._broken(f"{address} is {state.label} although its delivery was heard of")
            if state is State.EXPIRED and not facts.get("attempt"):
                self._broken(f"{address} expired without an attempt")

    def whole(self) -> None:
        """Check the tables as a whole."""
        for words, sql in _WHOLE:
            for row in self._rows(sql):
                self._broken(f"{words}: {row}")
        known = {row[0] for row in self._rows("SELECT id FROM message")}
        for message in self.ledger.acknowledged:
            if message not in known:
                self._broken(f"acknowledged message {message} is missing")
        states = dict(self._rows("SELECT state, count(*) FROM delivery GROUP BY state"))
        recipients = next(self._rows("SELECT count(*) FROM recipient"))[0]
        if sum(states.values()) != recipients:
            self._broken(f"{recipients} recipients were accepted, {sum(states.values())} deliveries exist")
        finals = sum(count for state, count in states.items() if State(state).final)
        if finals != len(self.finals):
            self._broken(f"{finals} deliveries are final, {len(self.finals)} final events exist")

    def states(self) -> dict[str, int]:
        """Deliveries by state."""
        rows = self._rows("SELECT state, count(*) FROM delivery GROUP BY state ORDER BY state")
        return {State(state).label: count for state, count in rows}

    def open_deliveries(self) -> int:
        """Deliveries that are not final."""
        return int(next(self._rows("SELECT count(*) FROM delivery WHERE state < 10"))[0])

    def attempts(self) -> int:
        """Attempts made for all deliveries."""
        return int(next(self._rows("SELECT coalesce(sum(attempts), 0) FROM delivery"))[0])

    def queued_by_domain(self) -> dict[str, int]:
        """Deliveries waiting and under way, by domain."""
        if self._commits == 0:
            return {}
        rows = self._rows(
            "SELECT domain, (SELECT count(*) FROM delivery WHERE lane = lane.id AND state = 1)"
            " + (SELECT count(*) FROM delivery WHERE lane = lane.id AND state = 2) FROM lane"
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
        rows = self._rows(
            "SELECT m.id, r.address FROM message m JOIN delivery d ON d.message = m.seq"
            " JOIN recipient r ON r.message = d.message AND r.n = d.n"
        )
        present = {(message, address) for message, address in rows}
        return [
            address
            for message, recipients in self.ledger.acknowledged.items()
            for address in recipients
            if (message, address) not in present
            or (self.final_recipients.get(address) is State.DELIVERED and address not in self.ledger.takes)
        ]

    def _broken(self, words: str) -> None:
        if words not in self.ledger.broken:
            self.ledger.broken.append(words)
