"""SASL as SMTP carries it: base64 answers, PLAIN and the messages of LOGIN (RFC 4954, RFC 4616).

Pure: octets in, credentials or the refusing reply out. Secrets never enter a text that could be logged.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass, field
from typing import Final

from relay.smtp.reply import Reply, reply

MECHANISMS: Final = ("PLAIN", "LOGIN")
ASK_NAME: Final = b"334 VXNlcm5hbWU6\r\n"
ASK_PASSWORD: Final = b"334 UGFzc3dvcmQ6\r\n"
ASK_PLAIN: Final = b"334 \r\n"

CANCELLED: Final = reply(501, "5.7.0", "authentication cancelled")
NOT_BASE64: Final = reply(501, "5.5.2", "not base64")
MALFORMED: Final = reply(501, "5.5.2", "malformed credentials")
WRONG: Final = reply(535, "5.7.8", "authentication credentials invalid")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and its password, neither checked nor fit for a log."""

    name: str
    password: str = field(repr=False)


def decode_answer(line: bytes) -> bytes | Reply:
    """The octets a client's answer stands for; "*" is a cancellation (RFC 4954 §4)."""
    if line == b"*":
        return CANCELLED
    try:
        return b64decode(line, validate=True)
    except binascii.Error:
        return NOT_BASE64


def decode_initial(word: bytes) -> bytes | Reply:
    """An initial response; "=" stands for an empty one (RFC 4954 §4)."""
    return b"" if word == b"=" else decode_answer(word)


def parse_plain(message: bytes) -> Credentials | Reply:
    """The credentials in a PLAIN message: authzid NUL authcid NUL password, in UTF-8 (RFC 4616 §2).

    Acting for somebody else is not offered, so an authzid must be empty or equal the authcid.
    """
    fields = message.split(b"\0")
    if len(fields) != 3:
        return MALFORMED
    if fields[0] and fields[0] != fields[1]:
        return WRONG
    return make_credentials(fields[1], fields[2])


def make_credentials(name: bytes, password: bytes) -> Credentials | Reply:
    """Credentials from the raw octets of name and password; both must be non-empty UTF-8 without NUL."""
    if b"\0" in name or b"\0" in password:
        return MALFORMED
    try:
        credentials = Credentials(name.decode(), password.decode())
    except UnicodeDecodeError:
        return MALFORMED
    return credentials if name and password else WRONG
