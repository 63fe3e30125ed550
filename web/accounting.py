"""Where every letter of the front's tables stands, for whoever balances the books: the lab's replay.

A letter is named by the hash of its status link's secret, as the tables name it; nothing in it tells whose it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from relay.database.contract import Connection, Database

_ROWS: Final = """
SELECT l.secret_hash, l.message_id, l.ending, l.refused, l.withheld, h.held_until, h.letter_id
FROM web_letter l LEFT JOIN web_handover h ON h.letter_id = l.id
"""


@dataclass(frozen=True, slots=True)
class Account:
    """A letter's place: the relay's message, or in one word where the front has it."""

    message_id: str | None
    place: str


async def accounts(database: Database) -> Mapping[bytes, Account]:
    """Every letter by the hash of its secret. Raises SpoolUnavailableError."""

    def work(connection: Connection) -> dict[bytes, Account]:
        return {bytes(row[0]): _account(row) for row in connection.execute(_ROWS)}

    return await database.read(work)


def _account(row: tuple[Any, ...]) -> Account:
    _, message_id, ending, refused, withheld, held_until, waits = row
    if message_id is not None:
        return Account(message_id, "handed over")
    if ending:
        return Account(None, ending)
    if refused or withheld is not None:
        return Account(None, "undeliverable")
    if held_until is not None:
        return Account(None, "held")
    return Account(None, "waiting" if waits is not None else "nowhere")
