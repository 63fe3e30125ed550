"""Content-Transfer-Encodings: quoted-printable and base64 as RFC 2045 §6.7 and §6.8 want them, and the choice.

Shared by the converter to seven bits and by the composer; exact both ways for text with CRLF line ends.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Final

MAX_ENCODED_LINE: Final = 76

_UNSAFE = re.compile(rb"[^\t -<>-~]|[\t ]\Z|\A\.\Z|\AF(?=rom )")
_UNSAFE_OCTET = re.compile(rb"[^\t -<>-~]")
_SLICE: Final = 64 * 1024
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
    return b"\r\n".join([_quoted_line(line) for line in data.split(b"\r\n")])


def _quoted_line(line: bytes) -> bytes:
    encoded = _escape(line)
    if len(encoded) <= MAX_ENCODED_LINE:
        return encoded
    pieces: list[bytes] = []
    start = 0
    while len(encoded) - start > MAX_ENCODED_LINE:
        end = start + MAX_ENCODED_LINE - 1
        escape = encoded.rfind(b"=", end - 2, end)
        end = escape if escape >= 0 else end
        pieces.append(encoded[start:end])
        start = end
    pieces.append(encoded[start:])
    return b"=\r\n".join(pieces)


def _escape(line: bytes) -> bytes:
    """What a line cannot hold as it is, escaped; a long line in slices: one search of it would hold the interpreter."""
    if len(line) <= _SLICE:
        return _UNSAFE.sub(_as_hex, line)
    slices = [line[start : start + _SLICE] for start in range(0, len(line), _SLICE)]
    inner = [_UNSAFE_OCTET.sub(_as_hex, piece) for piece in slices[1:-1]]
    # The ends are escaped for what they are: "F" before "rom " at the start, white space at the end.
    first = _UNSAFE.sub(_as_hex, slices[0] + b"x")[:-1]
    last = _UNSAFE.sub(_as_hex, b"x" + slices[-1])[1:]
    return b"".join([first, *inner, last])


def _as_hex(match: re.Match[bytes]) -> bytes:
    return b"=%02X" % ord(match[0])


def base64_lines(data: bytes) -> bytes:
    """`data` in base64, lines of 76, without a line end after the last."""
    text = base64.b64encode(data)
    return b"\r\n".join([text[i : i + MAX_ENCODED_LINE] for i in range(0, len(text), MAX_ENCODED_LINE)])


def is_dense(data: bytes) -> bool:
    """Whether base64 is shorter than quoted-printable: more than a sixth of the octets need an escape."""
    return 6 * (len(data) - len(data.translate(None, _UNREADABLE))) > len(data)


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
