"""Large bodies on SQLite: written piece by piece before their message exists, read piece by piece when it is sent.

The number of the message is taken first, so that accept moves nothing: it deletes the row of `upload`, and the pieces
are the message's. Until then the row names the incarnation that writes, and what that leaves behind is removed.
"""

from __future__ import annotations

from typing import Final

from relay.database.contract import Connection
from relay.errors import SpoolUnavailableError
from relay.spool.work import Incarnation, NewMessage, StoredContent

PIECE: Final = 256 * 1024
"""Octets of content in one row."""

FIRST_PIECE: Final = 16
"""Where the pieces of such a body begin: those before it hold the header, which intake may still change."""

GIVEN_UP: Final = "the body of the message was given up: its worker was thought dead"

OVER: Final = (
    "SELECT u.message FROM upload u LEFT JOIN incarnation i ON i.id = u.incarnation"
    " WHERE u.given_up <> 0 OR i.id IS NULL OR i.ended IS NOT NULL ORDER BY u.message LIMIT 1"
)
"""A body that no message will take."""

_MEASURE: Final = "SELECT sum(octet_length(data)) FROM content WHERE message = ?"


def write_content(connection: Connection, seq: int, content: bytes) -> None:
    """Content that came whole, or what stands before a body that was stored already."""
    view = memoryview(content)
    for piece, start in enumerate(range(0, max(len(content), 1), PIECE)):
        connection.execute(
            "INSERT INTO content (message, piece, data) VALUES (?, ?, ?)", (seq, piece, view[start : start + PIECE])
        )


def begin(connection: Connection, owner: Incarnation) -> int:
    """Take a message number for a body. Raises SpoolUnavailableError if the life was ended."""
    living = connection.execute("SELECT 1 FROM incarnation WHERE id = ? AND ended IS NULL", (owner,))
    if next(iter(living), None) is None:
        raise SpoolUnavailableError(GIVEN_UP)
    connection.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'message'")
    if connection.changes() == 0:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('message', 1)")
    seq = int(next(iter(connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'")))[0])
    connection.execute("INSERT INTO upload (message, incarnation) VALUES (?, ?)", (seq, owner))
    return seq


def add(connection: Connection, seq: int, piece: int, data: bytes) -> None:
    """Write a piece. Raises SpoolUnavailableError if the body was given up."""
    connection.execute(
        "INSERT INTO content (message, piece, data)"
        " SELECT message, ?, ? FROM upload WHERE message = ? AND given_up = 0",
        (FIRST_PIECE + piece, data, seq),
    )
    if connection.changes() == 0:
        raise SpoolUnavailableError(GIVEN_UP)


def adopt(connection: Connection, message: NewMessage, seq: int) -> None:
    """Make the pieces the message's own, or copy them where each recipient gets a message of his own."""
    body = message.body
    if body is None:
        return
    if message.copies_body:
        connection.execute(
            "INSERT INTO content (message, piece, data) SELECT ?, piece, data FROM content"
            " WHERE message = ? AND piece >= ?",
            (seq, body.seq, FIRST_PIECE),
        )
        if connection.changes() != body.pieces:
            raise SpoolUnavailableError(GIVEN_UP)
        return
    connection.execute("DELETE FROM upload WHERE message = ? AND given_up = 0", (seq,))
    if connection.changes() == 0:
        raise SpoolUnavailableError(GIVEN_UP)


def give_up(connection: Connection, seq: int) -> None:
    """Nobody will take this body; nothing if a message did."""
    connection.execute("UPDATE upload SET given_up = 1 WHERE message = ?", (seq,))


def remove_orphan(connection: Connection, limit: int) -> bool:
    """Delete up to `limit` pieces of a body that no message will take; False when there is none."""
    for (seq,) in list(connection.execute(OVER)):
        connection.execute("UPDATE upload SET given_up = 1 WHERE message = ?", (seq,))
        connection.execute(
            "DELETE FROM content WHERE rowid IN (SELECT rowid FROM content WHERE message = ? LIMIT ?)", (seq, limit)
        )
        if connection.changes() < limit:
            connection.execute("DELETE FROM upload WHERE message = ?", (seq,))
        return True
    return False


def measure(connection: Connection, seq: int) -> StoredContent:
    """The content's first piece, and what is known of the others. Raises KeyError when it is torn or forgotten."""
    size = next((row[0] for row in connection.execute("SELECT size FROM message WHERE seq = ?", (seq,))), None)
    held = next(iter(connection.execute(_MEASURE, (seq,))))[0]
    first = next_piece(connection, seq, -1)
    if first is None or size is None or size != held:
        raise KeyError(seq)
    last = "SELECT substr(data, octet_length(data), 1) FROM content WHERE message = ? ORDER BY piece DESC LIMIT 1"
    end = next(iter(connection.execute(last, (seq,))))[0]
    return StoredContent(seq, size, first[1], first[0], ends_line=bytes(end) == b"\n")


def next_piece(connection: Connection, seq: int, after: int) -> tuple[int, bytes] | None:
    """The piece that follows a piece."""
    query = "SELECT piece, data FROM content WHERE message = ? AND piece > ? ORDER BY piece LIMIT 1"
    return next(((piece, bytes(data)) for piece, data in connection.execute(query, (seq, after))), None)
