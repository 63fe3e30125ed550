"""Content-Transfer-Encodings: quoted-printable and base64 as RFC 2045 §6.7 and §6.8 want them, and the choice.

Shared by the converter to seven bits and by the composer; exact both ways for text with CRLF line ends.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_ENCODED_LINE: Final = 76

_FROM = re.compile(rb"^From ", re.MULTILINE)
_LINE_FEEDS = re.compile(rb"(\n+)")
_SLICE: Final = 64 * 1024
"""Octets gone through at once: all the lines of 25 MB as objects of their own would take six times that memory."""
_WHOLE_LINES: Final = 1024 * 57
"""Octets that fill lines of base64."""
_ALL_OCTETS: Final = bytes(range(256))
_READABLE: Final = b"\t\r\n" + bytes(range(0x20, 0x7F))
_UNREADABLE: Final = _ALL_OCTETS.translate(None, _READABLE)


@dataclass(frozen=True, slots=True)
class EncodedText:
    """Text fit for any host: `charset` and `encoding` for the part's header, `body` ending with CRLF."""

    charset: str
    encoding: str
    body: bytes


def quoted_printable(data: bytes) -> bytes:
    """`data` in quoted-printable; CRLF stays a line end, any other CR or LF is encoded.

    "From " at the start of a line and a lone dot are encoded too: some stores and hosts alter them.
    """
    quoted = io.BytesIO()
    start = 0
    while (end := data.find(b"\r\n", start + _SLICE)) >= 0:
        quoted.write(_quoted_lines(data[start:end]))
        quoted.write(b"\r\n")
        start = end + 2
    quoted.write(_quoted_lines(data[start:]))
    return quoted.getvalue()


def _quoted_lines(data: bytes) -> bytes:
    quoted = b"\r\n".join([_quoted_line(line) for line in data.split(b"\r\n")])
    quoted = quoted.replace(b"=\n", b"=\r\n")  # no other line feed is left that stands alone
    # What follows begins a line of its own, which neither is a lone dot nor begins with "From " again.
    return _FROM.sub(b"=46=\r\nrom ", quoted) if b"From " in quoted else quoted


def _quoted_line(line: bytes) -> bytes:
    """`line` with soft line breaks that are line feeds alone."""
    if len(line) <= _SLICE and b"\n" not in line:
        return binascii.b2a_qp(line, istext=False)
    # A long one in slices: encoded at once it would hold the interpreter.
    # Line feeds apart from the others: what stands before one is given one octet too much room.
    quoted = io.BytesIO()
    last = b""
    for n, piece in enumerate(_pieces(line)):
        quoted.write(_with_break(last) if n else b"")
        last = piece
    quoted.write(binascii.b2a_qp(last, istext=False))
    return quoted.getvalue()


def _pieces(line: bytes) -> Iterator[bytes]:
    for start in range(0, len(line), _SLICE):
        yield from _LINE_FEEDS.split(line[start : start + _SLICE])


def _with_break(data: bytes) -> bytes:
    """A part of a line, and the soft line break after it; what follows decides whether its end is encoded."""
    return binascii.b2a_qp(data + b"x", istext=False)[:-1] + b"=\n"


def base64_lines(data: bytes) -> bytes:
    """`data` in base64, lines of 76, without a line end after the last."""
    encoded = io.BytesIO()
    for start in range(0, len(data), _WHOLE_LINES):
        text = base64.b64encode(data[start : start + _WHOLE_LINES])
        lines = [text[i : i + MAX_ENCODED_LINE] for i in range(0, len(text), MAX_ENCODED_LINE)]
        encoded.write(b"\r\n" * (start > 0))
        encoded.write(b"\r\n".join(lines))
    return encoded.getvalue()


def is_dense(data: bytes) -> bool:
    """Whether base64 is shorter than quoted-printable: more than a sixth of the octets need an escape."""
    slices = (data[start : start + _SLICE] for start in range(0, len(data), _SLICE))
    return 6 * sum(len(one) - len(one.translate(None, _UNREADABLE)) for one in slices) > len(data)


def encode_text(text: str) -> EncodedText:
    """Text as a part that passes every host unchanged: 7bit where it already does, else the shorter encoding.

    Line ends of any kind become CRLF. Raises UnicodeEncodeError for a lone surrogate.
    """
    data = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode()
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    charset = "us-ascii" if data.isascii() else "utf-8"
    if is_dense(data):
        return EncodedText(charset, "base64", base64_lines(data) + b"\r\n")
    quoted = quoted_printable(data)
    plain = data.isascii() and quoted.replace(b"=3D", b"=") == data  # nothing but "=" was in need of an escape
    return EncodedText(charset, "7bit", data) if plain else EncodedText(charset, "quoted-printable", quoted)
