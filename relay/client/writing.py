"""From a customer's letter to the mail it becomes, and what of it its reader will see. Pure but for MIME boundaries.

Both forms of the client write with this, so what a front shows is what the relay sends, wherever each of them runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.header import decode_header, make_header
from typing import Final

from relay.client.contract import Letter
from relay.ids import Entropy
from relay.mail.address import Address, parse_address
from relay.mail.compose import Draft, compose, heading
from relay.mail.header import parse_fields

_SHOWN: Final = ("From", "To", "Subject")


def written(letter: Letter, entropy: Entropy) -> tuple[Address, Address, bytes]:
    """Sender, recipient and content of a letter. Raises AddressError, HeaderError (both ValueError)."""
    draft = _draft(letter)
    return draft.sender[1], draft.to[0][1], compose(draft, entropy)


def shown_fields(letter: Letter) -> Mapping[str, str]:
    """See `RelayClient.preview`. Raises as `written` does."""
    fields = {field.key: field.value.decode("utf-8") for field in parse_fields(heading(_draft(letter)))}
    return {name: _as_read(fields.get(name.lower().encode(), "")) for name in _SHOWN}


def _draft(letter: Letter) -> Draft:
    return Draft(
        sender=(letter.sender_name, parse_address(letter.sender)),
        to=(("", parse_address(letter.recipient)),),
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
        headers=letter.headers,
    )


def _as_read(value: str) -> str:
    """A field's value as a mail program shows it: encoded words decoded (RFC 2047)."""
    return str(make_header(decode_header(value))) if "=?" in value else value
