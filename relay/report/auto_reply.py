"""The answer to a reply that nobody reads (RFC 3834 §3): fixed words of the operator, nothing of who wrote. Pure.

It repeats neither subject nor text of the mail it answers, so that nobody can have his words carried by us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from relay.mail.address import Address
from relay.mail.encoding import encode_text
from relay.mail.header import fold_field, format_address_field, format_field

_MESSAGE_ID = re.compile(r"<[!-;=?A-~]{1,200}@[!-;=?A-~]{1,255}>")
_ENGLISH_SUBJECT = "Auto: nobody reads this address"
_FRENCH_SUBJECT = "Auto : personne ne lit cette adresse"


@dataclass(frozen=True, slots=True)
class Words:
    """What is answered; an empty language is left out, and without either nothing is answered."""

    english: str
    french: str

    def __bool__(self) -> bool:
        return bool(self.english.strip() or self.french.strip())


def build_auto_reply(
    words: Words, sender: Address, to: Address, answered_id: str = "", *, french_first: bool = False
) -> bytes:
    """The answer as content with CRLF line ends, without Date and Message-ID. ValueError if there are no words."""
    told = [(_ENGLISH_SUBJECT, words.english), (_FRENCH_SUBJECT, words.french)]
    said = [(subject, text.strip()) for subject, text in (told[::-1] if french_first else told) if text.strip()]
    if not said:
        raise ValueError("an answer needs words")
    text = encode_text("\n\n* * *\n\n".join(text for _, text in said) + "\n")
    found = _MESSAGE_ID.fullmatch(answered_id.strip())
    threading = [fold_field(name, found[0]) for name in ("In-Reply-To", "References")] if found else []
    header = [
        format_address_field("From", [("", sender)]),
        format_address_field("To", [("", to)]),
        format_field("Subject", said[0][0]),
        *threading,
        b"Auto-Submitted: auto-replied\r\n",  # RFC 3834 §5
        b"X-Auto-Response-Suppress: All\r\n",  # for programs that know no RFC 3834
        b"MIME-Version: 1.0\r\n",
        f"Content-Type: text/plain; charset={text.charset}\r\n".encode(),
        f"Content-Transfer-Encoding: {text.encoding}\r\n".encode(),
    ]
    return b"".join(header) + b"\r\n" + text.body
