"""Taking everything out of a letter that will never leave, and whose page goes on as if it might.

Such a letter keeps its times, its place in the row and its holds; what could be read of it goes. Of its address the
domain stays, since ceilings count by it. Beside the tables of letters and holds, in their transactions.
"""

from __future__ import annotations

from typing import Final

from relay.database.contract import Connection
from relay.database.statements import Statement
from web.mailbox import mailbox_of
from web.wall import REMOVE_POST

# What a person has to decide about keeps its words until they have: what becomes of it is told to its writer.
_EMPTY: Final = """
UPDATE web_handover SET erased = 1, text = '', html = '',
  recipient = CASE WHEN held_until IS NULL THEN ? ELSE ? END,
  sender_name = CASE WHEN held_until IS NULL THEN '' ELSE sender_name END,
  subject = CASE WHEN held_until IS NULL THEN '' ELSE subject END,
  message = CASE WHEN held_until IS NULL THEN '' ELSE message END
WHERE letter_id = ?
"""
# A later try may repeat one that was taken, and then the relay alone knows. One that went back has no address any more.
_EMPTY_UNWANTED: Final = f"{_EMPTY} AND attempts = 0 AND recipient = ?"
_WORDS_BEHIND_DOORBELL: Final = (
    "UPDATE web_waiting SET sender_name = '', subject = '', message = '' WHERE letter_id = ?"
)


def nobody_at(address: str) -> str:
    """What is kept of an address: no mail can be sent to it, not even by an older program."""
    return "@" + mailbox_of(address).rpartition("@")[2]


def empty_erased(connection: Connection, letter_id: str, address: str) -> None:
    """Its recipient wants to be forgotten: of the address nothing stays, held or not."""
    nobody = nobody_at(address)
    connection.execute(_EMPTY, (nobody, nobody, letter_id))
    _empty_elsewhere(connection, letter_id)


def empty_unwanted(connection: Connection, letter_id: str, address: str) -> None:
    """Its recipient wants no letters, and nobody has begun to hand it over.

    One that is held keeps its address as long: whoever finds that it threatens a life has to say whose.
    """
    connection.execute(_EMPTY_UNWANTED, (nobody_at(address), address, letter_id, address))
    if connection.changes():
        _empty_elsewhere(connection, letter_id)


def empty_released(letter_id: str, address: str) -> Statement:
    """A person has let it go: what they needed of a letter that never leaves goes too; of any other nothing does."""
    nobody = nobody_at(address)
    return f"{_EMPTY} AND erased = 1 AND held_until IS NULL", (nobody, nobody, letter_id)


def _empty_elsewhere(connection: Connection, letter_id: str) -> None:
    """What waits of it to be asked for, and for the wall."""
    connection.execute(_WORDS_BEHIND_DOORBELL, (letter_id,))
    connection.execute(REMOVE_POST, (letter_id,))
