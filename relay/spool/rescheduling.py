"""Another time for mail that its sender scheduled, in SQL that every database knows.

Only what waits for that time is moved: a delivery that a worker holds, or that left its schedule behind, stays as it
is. Deliveries are written before their message, as a settlement does, and before their lanes, as in
`relay.spool.dues`; every lane is.
"""

from __future__ import annotations

from relay.database.contract import Connection


def reschedule(connection: Connection, seq: int, send_at: int, now: int) -> bool:
    """Let a message leave at `send_at` (in milliseconds); False if it does not wait for a time of its own any more.

    It has as long from then on as it had before.
    """
    # Deliveries first: whoever claims one meanwhile is waited for here, and what they took waits for no time any more.
    connection.execute(
        "UPDATE delivery SET due = ? WHERE message = ? AND state = 1"
        " AND EXISTS (SELECT 1 FROM message WHERE seq = ? AND send_at > ?)",
        (send_at, seq, seq, now),
    )
    if not connection.changes():
        return False
    connection.execute(
        "UPDATE message SET expires_at = expires_at + (? - send_at), send_at = ? WHERE seq = ?",
        (send_at, send_at, seq),
    )
    lanes = [
        lane for (lane,) in connection.execute("SELECT lane FROM delivery WHERE message = ? AND state = 1", (seq,))
    ]
    connection.executemany(
        "UPDATE lane SET due = CASE WHEN due IS NULL OR due > ? THEN ? ELSE due END WHERE id = ?",
        [(send_at, send_at, lane) for lane in sorted(set(lanes))],
    )
    return True
