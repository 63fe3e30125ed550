"""Due times after the wall clock went back: none may lie further ahead than its own wait, or mail would be stranded.

A due time is a time of the wall clock, so that it outlives restarts. If that clock was wrong and is set back by an
hour, everything would wait an hour too long (R27). Mending is safe at any time and may be repeated: a due time is only
ever moved to where a fresh wait would put it, and what its sender scheduled is left where it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from relay.database.contract import Connection


def last_written(connection: Connection) -> int | None:
    """When the newest event was written, in milliseconds of the clock of then."""
    return next((row[0] for row in connection.execute("SELECT at FROM event ORDER BY seq DESC LIMIT 1")), None)


def mend(connection: Connection, waits: Sequence[int], now: int) -> int:
    """Bring every due time that is too far ahead back; `waits` by attempts, in milliseconds. The number mended."""
    rows = list(
        connection.execute(
            "SELECT d.message, d.n, d.lane, d.attempts, d.due FROM delivery d JOIN message m ON m.seq = d.message"
            " WHERE d.state = 1 AND d.due > ? AND (m.send_at IS NULL OR d.due > m.send_at) ORDER BY d.message, d.n",
            (now + min(waits),),
        )
    )
    mended: list[tuple[int, int, int, int]] = []
    lanes: dict[int, int] = {}
    for seq, n, lane, attempts, due in rows:
        latest = now + waits[min(max(attempts, 1), len(waits)) - 1]
        if due > latest:
            mended.append((latest, seq, n, due))
            lanes[lane] = min(latest, lanes.get(lane, latest))
    connection.executemany("UPDATE delivery SET due = ? WHERE message = ? AND n = ? AND state = 1 AND due = ?", mended)
    # Every lane is written, though its time be early enough: a claim that refreshes it meanwhile must wait for us.
    connection.executemany(
        "UPDATE lane SET due = CASE WHEN due IS NULL OR due > ? THEN ? ELSE due END WHERE id = ?",
        [(due, due, lane) for lane, due in sorted(lanes.items())],
    )
    return len(mended)
