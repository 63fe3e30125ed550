"""Where whoever got a letter may answer it: a Reply-To of its own, written where its sender asked for replies.

The address names the delivery by a signed token, so that a reply finds its letter whatever a mail program leaves of
the thread, and nobody who did not get the letter can know it. It stands under the DKIM signature.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from relay.ids import SpoolId
from relay.mail.address import parse_address
from relay.mail.header import format_address_field
from relay.tokens import TokenKind, Tokens, delivery_subject

REPLY_LIFE: Final = timedelta(days=120)
"""How long an address takes replies after its letter was to leave; a front shows them for less."""


class ReplyAddresses:
    """Writes the field. `mail_domain` is ours and takes the replies; "": there is none, and no field is written."""

    def __init__(self, tokens: Tokens, mail_domain: str) -> None:
        self._tokens = tokens
        self._mail_domain = mail_domain

    def of(self, name: str, message: SpoolId, at: datetime) -> bytes:
        """Reply-To of a message with one recipient, CRLF ended. Raises HeaderError for a name no field can have."""
        if not self._mail_domain:
            return b""
        token = self._tokens.mint(TokenKind.REPLY, delivery_subject(message, 0), at + REPLY_LIFE)
        return format_address_field("Reply-To", [(name, parse_address(f"{token}@{self._mail_domain}"))])
