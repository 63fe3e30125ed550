"""Leases that end without a settlement, and the quarantine of what breaks us, in one transaction of SQLite.

A lease given back in good order leaves no trace. One that ended with its holder counts against its deliveries, as
`relay.policy.quarantine` says, and what was counted often enough is held with an event and an alarm.
"""

from __future__ import annotations

from typing import Final

from relay.database.contract import Connection
from relay.event import EventKind
from relay.policy.alarms import AlarmKind
from relay.policy.quarantine import TRIES, counts, why_held
from relay.policy.state import State
from relay.spool.accepting import advance_lane, write_event
from relay.spool.rows import dump

ALARM: Final = AlarmKind.QUARANTINE.value
"""The alarm's kind; its subject is the message's id."""

MESSAGE_ALARMS: Final = f"('{ALARM}', '{AlarmKind.TORN_CONTENT.value}')"
"""Alarms about one message: they end when somebody decides what becomes of it."""


def void_leases(connection: Connection, incarnation: int, now: int, *, died: bool) -> None:
    """Give every lease of an incarnation back to its lane; `died`: its holder is gone without a word."""
    lanes: dict[int, int] = {}
    counted: list[tuple[int, int, int]] = []
    for seq, n, lane, due, broken, begun in list(
        connection.execute(
            "SELECT message, n, lane, due, broken, begun FROM delivery INDEXED BY delivery_leased"
            " WHERE state = 2 AND lease = ?",
            (incarnation,),
        )
    ):
        lanes[lane] = min(due, lanes.get(lane, due))
        if died and counts(broken, begun=bool(begun)):
            counted.append((broken + 1, seq, n))
    connection.execute(
        "UPDATE delivery SET state = ?, lease = NULL, begun = 0 WHERE state = 2 AND lease = ?",
        (int(State.WAITING), incarnation),
    )
    connection.executemany("UPDATE delivery SET broken = ? WHERE message = ? AND n = ?", counted)
    for lane, due in lanes.items():
        advance_lane(connection, lane, due)
    for broken, seq, n in counted:
        if broken >= TRIES:
            quarantine(connection, seq, n, why_held(broken) + "; each time its worker died", now)


def quarantine(connection: Connection, seq: int, n: int, reason: str, now: int) -> None:
    """Hold a delivery that nobody may settle any more, with its event and its alarm."""
    connection.execute(
        "UPDATE delivery SET state = ?, due = NULL, lease = NULL, begun = 0 WHERE message = ? AND n = ?",
        (int(State.HELD), seq, n),
    )
    write_event(connection, now, seq, n, EventKind.HELD, dump({"reason": reason}))
    raise_alarm(connection, seq, reason, now)


def raise_alarm(connection: Connection, seq: int, reason: str, now: int) -> None:
    """The alarm about a message, unless it stands."""
    connection.execute(
        "INSERT INTO alarm (kind, subject, since, detail)"
        " VALUES (?, coalesce((SELECT id FROM message WHERE seq = ?), ?), ?, ?) ON CONFLICT DO NOTHING",
        (ALARM, seq, f"#{seq}", now, reason),
    )


def end_alarms(connection: Connection, seq: int) -> None:
    """Somebody has decided what becomes of a message: its alarms are answered."""
    connection.execute(
        f"DELETE FROM alarm WHERE kind IN {MESSAGE_ALARMS} AND subject = (SELECT id FROM message WHERE seq = ?)",  # noqa: S608 - constants of ours
        (seq,),
    )
