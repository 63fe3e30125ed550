"""The row of a message, as accept writes it on every database: one list of its columns, and their values."""

from __future__ import annotations

from typing import Any, Final

from relay.clock import to_millis
from relay.spool.rows import labels_column, path_column
from relay.spool.work import NewMessage

MESSAGE_COLUMNS: Final = {
    "id": "text",
    "tenant": "bigint",
    "credential": "bigint",
    "door": "text",
    "stream": "text",
    "reverse_path": "text",
    "smtputf8": "smallint",
    "ret": "text",
    "envid": "text",
    "size": "bigint",
    "accepted_at": "bigint",
    "expires_at": "bigint",
    "received": "bytea",
    "sign_as": "text",
    "prelude": "bytea",
    "open": "int",
    "final_at": "bigint",
    "labels": "text",
    "send_at": "bigint",
}
"""The columns but `seq`, with their types on PostgreSQL."""


def message_row(message: NewMessage, owed: int) -> tuple[Any, ...]:
    """The values of `MESSAGE_COLUMNS`; `owed` deliveries are not final yet."""
    envelope, at = message.envelope, to_millis(message.accepted_at)
    return (
        message.id,
        message.tenant,
        message.credential,
        message.door.value,
        message.stream,
        path_column(envelope.reverse_path),
        int(envelope.smtputf8),
        envelope.ret.value if envelope.ret else None,
        envelope.envid,
        message.size,
        at,
        to_millis(message.expires_at),
        message.received,
        message.sign_as,
        message.prelude,
        owed,
        None if owed else at,
        labels_column(message.tags, message.metadata, unnamed=message.unnamed),
        to_millis(message.due) if message.scheduled else None,
    )
