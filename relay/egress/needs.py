"""What a message needs of a host, and the refusal when the host did not offer it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from relay.egress.capabilities import Capabilities
from relay.egress.contract import Transaction
from relay.mail.address import Address

_TLS_REQUIRED: Final = re.compile(rb"\r\nTLS-Required[ \t]*:", re.IGNORECASE)
_HEADER_ROOM: Final = 1 << 20
"""Octets of content that are searched for the end of the header."""
_NO: Final = re.compile(rb"\r\nTLS-Required[ \t]*:[ \t]*No[ \t]*\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Needs:
    """`eightbit`: octets above 127 in the content (RFC 6152); `smtputf8`: in an address or a header (RFC 6531 §3.2)."""

    eightbit: bool
    smtputf8: bool


@dataclass(frozen=True, slots=True)
class Lack:
    """Why this host cannot have this message: a reply's code, its enhanced code and its words."""

    code: int
    status: str
    text: str


def needs_of(transaction: Transaction) -> Needs:
    """What `transaction` needs. Addresses with an ASCII local part and an A-label domain need nothing (D17)."""
    path = transaction.reverse_path
    utf8 = isinstance(path, Address) and path.needs_smtputf8
    utf8 = utf8 or any(not recipient.address.local.isascii() for recipient in transaction.recipients)
    eightbit = not all(piece.isascii() for piece in transaction.content)
    if eightbit and not utf8:
        # A submitter's SMTPUTF8 may speak of headers inside parts, which only it knows of.
        utf8 = transaction.smtputf8 or not _header_is_ascii(transaction.content)
    return Needs(eightbit, utf8)


def waives_policies(pieces: Sequence[bytes]) -> bool:
    """Whether the header says `TLS-Required: No`, once (RFC 8689 §5): the sender prefers delivery to TLS (K02)."""
    head = b""
    for piece in pieces:
        head += piece[:_HEADER_ROOM]
        if b"\r\n\r\n" in head or len(head) > _HEADER_ROOM:
            break
    header = b"\r\n" + head.partition(b"\r\n\r\n")[0] + b"\r\n"
    return len(_TLS_REQUIRED.findall(header)) == 1 and bool(_NO.search(header))


def _header_is_ascii(pieces: Sequence[bytes]) -> bool:
    """Whether all octets before the first empty line are ASCII; pieces may be cut anywhere."""
    tail = b"\r\n"
    for piece in pieces:
        block = tail + piece
        end = block.find(b"\r\n\r\n")
        if end >= 0:
            return block[:end].isascii()
        if not block.isascii():
            return False
        tail = block[-3:]
    return True


def lack(transaction: Transaction, needs: Needs, offered: Capabilities) -> Lack | None:
    """What keeps the message from this host, None when nothing does (D04, D13, D15, D16)."""
    if offered.size is not None and transaction.size > offered.size:
        return Lack(
            552, "5.3.4", f"the message of {transaction.size} octets is over the host's limit of {offered.size}"
        )
    if needs.smtputf8 and not offered.smtputf8:
        return Lack(553, "5.6.7", "the host does not take internationalised addresses or headers")
    if needs.eightbit and not (offered.eightbit or offered.smtputf8):
        return Lack(554, "5.6.3", "the host does not take 8-bit content")
    return None
