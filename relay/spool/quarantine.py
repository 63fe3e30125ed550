"""Leases that end without a settlement, and the quarantine of what breaks us, in one transaction of SQLite.

A lease given back in good order leaves no trace. One that ended with its holder counts against its deliveries, as
`relay.policy.quarantine` says, and what was counted often enough is held with an event and an alarm.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from relay.database.contract import Connection
from relay.event import EventKind
from relay.policy.alarms import AlarmKind
from relay.policy.quarantine import Death, counts, is_held, rest, why_held
from relay.policy.state import State
from relay.spool.accepting import advance_lane, write_event
from relay.spool.rows import dump

ALARM: Final = AlarmKind.QUARANTINE.value
"""The alarm's kind; its subject is the message's id."""

MESSAGE_ALARMS: Final = f"('{ALARM}', '{AlarmKind.TORN_CONTENT.value}')"
"""Alarms about one message: they end when somebody decides what becomes of it."""


def void_leases(connection: Connection, incarnation: int, now: int, death: Death | None) -> None:
    """Give every lease of an incarnation back to its lane; `death`: how its holder ended, None if it retired."""
    lanes: dict[int, int] = {}
    counted: list[tuple[int, int, int, int]] = []
    for seq, n, lane, due, broken, begun in list(
        connection.execute(
            "SELECT message, n, lane, due, broken, begun FROM delivery INDEXED BY delivery_leased"
            " WHERE state = 2 AND lease = ?",
            (incarnation,),
        )
    ):
        later = due
        if death is not None and counts(broken, begun=bool(begun)):
            later = after_rest(due, broken + 1, now)
            counted.append((broken + 1, later, seq, n))
        lanes[lane] = min(later, lanes.get(lane, later))
    connection.execute(
        "UPDATE delivery SET state = ?, lease = NULL, begun = 0 WHERE state = 2 AND lease = ?",
        (int(State.WAITING), incarnation),
    )
    connection.executemany("UPDATE delivery SET broken = ?, due = ? WHERE message = ? AND n = ?", counted)
    for lane, due in lanes.items():
        advance_lane(connection, lane, due)
    for broken, _, seq, n in counted:
        if death is not None and is_held(broken, death):
            quarantine(connection, seq, n, died_of(broken), now)


def after_rest(due: int, broken: int, now: int) -> int:
    """When a delivery is due that a death has just counted for the `broken`th time."""
    return max(due, now + rest(broken) // timedelta(milliseconds=1)) if rest(broken) else due


def died_of(broken: int) -> str:
    """The cause, where it was the death of a worker each time."""
    return why_held(broken) + "; each time its worker died"


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
