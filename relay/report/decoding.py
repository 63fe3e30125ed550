"""Octets as text: charsets, encoded words and HTML of mail nobody vouches for, in one pass and without raising.

Under `relay.report.mime`. A charset that is unknown, not for text, or costs more than its input is passed over.
"""

from __future__ import annotations

import codecs
import re
from email.errors import MessageError
from email.header import decode_header
from functools import lru_cache
from html import unescape
from typing import Final

MAX_TEXT: Final = 256 * 1024
"""Octets of one part that are read as text; what follows tells a reader nothing new."""

MAX_WORDS: Final = 4096

_TAG_NAME = re.compile(r"/?[a-z][a-z0-9]*+")
_BLOCKS = frozenset(
    {"br", "p", "/p", "div", "/div", "tr", "/tr", "li", "/li", "ul", "/ul", "table", "/table", "pre", "/pre", "hr"}
    | {f"{slash}h{size}" for size in range(1, 7) for slash in ("", "/")}
)
_CELLS = frozenset({"td", "th", "/td", "/th", "dt", "dd", "label"})
_UNSEEN = frozenset({"script", "style", "title"})
_NOT_CHARSETS = frozenset({"punycode", "idna", "undefined", "unicode-escape", "raw-unicode-escape"})
_ANGLED_ADDRESS = re.compile(r"<([^<>\s@]{1,100}@[^<>\s]{1,255})>")
_ENCODED: Final = "=?"


def as_text(data: bytes, charset: str = "") -> str:
    """`data` as text with LF line ends: in its charset, else UTF-8, else Latin-1; never raises."""
    known = _codec(charset)
    text = ""
    for codec, errors in ((known or "utf-8", "strict"), ("utf-8", "strict"), (known or "latin-1", "replace")):
        try:
            text = data.decode(codec, errors)
        except (ValueError, LookupError, TypeError):
            continue
        break
    if not text.isascii():
        # UTF-7 can spell half of a character (a lone surrogate), which no database and no program downstream takes.
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


@lru_cache(maxsize=128)
def _codec(charset: str) -> str:
    """The codec of a charset, "" for none; those that are not for text or cost more than their input are none."""
    try:
        name = codecs.lookup(charset.strip().strip("\"'")).name if charset else ""
        "".encode(name or "ascii")
    except (LookupError, ValueError, TypeError):
        return ""
    return "" if name in _NOT_CHARSETS else name


def decode_words(value: str) -> str:
    """A field's value with its encoded words decoded (RFC 2047); as it came where they are broken."""
    if _ENCODED not in value:
        return value
    try:
        pieces = decode_header(value[:MAX_WORDS])
        return "".join(
            piece if isinstance(piece, str) else as_text(piece, charset or "latin-1") for piece, charset in pieces
        )
    except (MessageError, ValueError, LookupError, TypeError, IndexError):
        return value


def plain_text(page: str) -> str:
    """The words of an HTML page, a line for each block; one pass, whatever does not close."""
    page = _ANGLED_ADDRESS.sub(r"&lt;\1&gt;", page[:MAX_TEXT])
    folded = page.lower()
    words: list[str] = []
    position = 0
    while True:
        start = page.find("<", position)
        if start < 0:
            words.append(page[position:])
            break
        words.append(page[position:start])
        name = _TAG_NAME.match(folded, start + 1)
        tag = name[0] if name else ""
        if tag in _BLOCKS:
            words.append("\n")
        elif tag in _CELLS:
            words.append(" ")
        closing = f"</{tag}" if tag in _UNSEEN else "-->" if page.startswith("<!--", start) else ">"
        end = folded.find(closing, start)
        if end >= 0 and tag in _UNSEEN:
            end = folded.find(">", end)
        if end < 0:
            break
        position = end + (3 if closing == "-->" else 1)
    return unescape("".join(words)).replace("\xa0", " ")
