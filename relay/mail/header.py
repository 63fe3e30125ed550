"""The header as values: fields read without loss, and a writer of our own for the fields we add.

Reading keeps every octet (what we did not build leaves byte for byte); it stops at fixed caps and is linear in its
input. Writing guarantees that no CR, LF or NUL gets into a name or value, that lines fold at white space
only, and that a long token (a List-Unsubscribe URL) is neither encoded nor split: the standard library's
policy turns such tokens into encoded words, which no receiver can follow (RFC 5322 §2.2, RFC 2047 §5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from relay.mail.address import Address
from relay.mail.encoded_word import LEAST_ROOM, MAX_WORD, encode_words, looks_encoded

MAX_FIELDS: Final = 1000
MAX_HEADER: Final = 256 * 1024
MAX_LINE: Final = 998  # RFC 5322 §2.1.1, without CRLF
MAX_NAME: Final = 76
_FOLD_AT: Final = 78
_FOLD_ENCODED_AT: Final = 76  # RFC 2047 §2: a line that holds an encoded word

_FIELD = re.compile(rb"([!-9;-~]++)[ \t]*+:[^\r\n]*+\r\n(?:[ \t][^\r\n]*+\r\n)*+")
_STARTS_FIELD = re.compile(rb"[!-9;-~]++[ \t]*+:")
_NAME = re.compile(r"[!-9;-~]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_WORD = re.compile(r"([ \t]*+)([^ \t]++)")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)*")
_QUOTE = re.compile(r'(["\\])')


class HeaderError(ValueError):
    """A header, or one field of it, is unlawful; `reason` is fit for a user and never repeats the content."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason = reason
        self.field = field


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `name` as written, `raw` the whole field with folding and final CRLF."""

    name: bytes
    raw: bytes

    @property
    def key(self) -> bytes:
        """The name in lower case."""
        return self.name.lower()

    @property
    def value(self) -> bytes:
        """What follows the colon, unfolded (RFC 5322 §2.2.3), without white space at both ends."""
        return self.raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")


def split_content(raw: bytes) -> tuple[bytes, bytes]:
    """The header block, with its final CRLF, and the body after the empty line; both may be empty.

    Content without an empty line is all header. Raises HeaderError if it then does not begin with a field.
    """
    if raw.startswith(b"\r\n"):
        return b"", raw[2:]
    end = raw.find(b"\r\n\r\n")
    if end >= 0:
        return raw[: end + 2], raw[end + 4 :]
    if not _STARTS_FIELD.match(raw):
        raise HeaderError("the message does not begin with a header field")
    return (raw if raw.endswith(b"\r\n") else raw + b"\r\n"), b""


def parse_fields(header: bytes) -> tuple[Field, ...]:
    """The fields of a header block, in order; joined, their `raw` is the block again.

    White space before the colon is read as receivers read it (RFC 5322 §4.5). Raises HeaderError above the
    caps (1,000 fields, 256 KiB) and for a line that is neither a field nor a continuation.
    """
    if len(header) > MAX_HEADER:
        raise HeaderError(f"the header is longer than {MAX_HEADER} octets")
    fields: list[Field] = []
    position = 0
    last = ""
    while position < len(header):
        match = _FIELD.match(header, position)
        if match is None:
            raise HeaderError("a line of the header is neither a field nor its continuation", last)
        if len(fields) == MAX_FIELDS:
            raise HeaderError(f"the header has more than {MAX_FIELDS} fields")
        fields.append(Field(match[1], match[0]))
        position = match.end()
    return tuple(fields)


def check_name(name: str) -> None:
    """Raise HeaderError unless `name` is a lawful field name: printable ASCII without colon (RFC 5322 §2.2)."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise HeaderError("a field name is 1 to 76 printable ASCII characters without colon", _shown(name))


def check_text(name: str, value: str) -> None:
    """Raise HeaderError for a line break, NUL, another control character but tab, or a lone surrogate."""
    if _CONTROL.search(value):
        raise HeaderError("a value must not contain line breaks or control characters", name)


def format_field(name: str, value: str) -> bytes:
    """An unstructured field with CRLF, folded at white space; non-ASCII words as encoded words (RFC 2047).

    Raises HeaderError for an unlawful name or value and for a token that fits in no line.
    """
    check_name(name)
    check_text(name, value)
    words: list[tuple[str, str]] = _WORD.findall(value.strip(" \t"))
    encode = any(_needs_encoding(word) for _, word in words)
    line = _Folder(name, _FOLD_ENCODED_AT if encode else _FOLD_AT)
    for needs, group in groupby(words, key=lambda item: _needs_encoding(item[1])):
        if needs:  # one run, spaces included: receivers drop the space between two encoded words
            (space, first), *rest = group
            line.add_encoded(space or " ", first + "".join(map("".join, rest)))
        else:
            for space, word in group:
                line.add(space or " ", word)
    return line.finish()


def fold_field(name: str, value: str) -> bytes:
    """A field whose value is written as it is, UTF-8 if need be, folded at white space; for structured values.

    Raises HeaderError like `format_field`.
    """
    check_name(name)
    check_text(name, value)
    line = _Folder(name, _FOLD_AT)
    for space, word in _WORD.findall(value.strip(" \t")):
        line.add(space or " ", word)
    return line.finish()


def format_address_field(name: str, mailboxes: Sequence[tuple[str, Address]]) -> bytes:
    """A field of mailboxes (display name, address) with CRLF; an empty display name leaves the bare address.

    Names become atoms, a quoted string or encoded words; domains are A-labels because `Address` keeps them
    so; a UTF-8 local part is written as it is (RFC 6532). Raises HeaderError for control characters and an empty list.
    """
    check_name(name)
    if not mailboxes:
        raise HeaderError("at least one address is needed", name)
    line = _Folder(name, _FOLD_ENCODED_AT)
    for number, (display, address) in enumerate(mailboxes, start=1):
        check_text(name, display)
        comma = "" if number == len(mailboxes) else ","
        if phrase := display.strip(" \t"):
            _add_phrase(line, phrase)
            line.add(" ", f"<{address}>{comma}")
        else:
            line.add(" ", f"{address}{comma}")
    return line.finish()


def join_fields(fields: Iterable[Field]) -> bytes:
    """The header block of `fields`, byte for byte."""
    return b"".join([field.raw for field in fields])


def _add_phrase(line: _Folder, display: str) -> None:
    if _ATOMS.fullmatch(display) and "=?" not in display:
        for word in display.split(" "):
            line.add(" ", word)
        return
    quoted = '"' + _QUOTE.sub(r"\\\1", display) + '"'
    # Receivers decode encoded words even inside quotes, so a name that looks like one is encoded itself.
    if display.isascii() and "=?" not in display and len(quoted) <= MAX_WORD:
        line.add(" ", quoted)
    else:
        line.add_encoded(" ", display)


def _needs_encoding(word: str) -> bool:
    return not word.isascii() or looks_encoded(word)


def _shown(name: str) -> str:
    """A refused name, fit to be repeated in an error."""
    return re.sub(r"[^!-~]", "?", name[:MAX_NAME])


class _Folder:
    """Writes one field; breaks lines only before the white space given with each token."""

    __slots__ = ("_column", "_fresh", "_name", "_parts", "_width")

    def __init__(self, name: str, width: int) -> None:
        self._name = name
        self._parts = [f"{name}:"]
        self._column = len(name) + 1
        self._width = width
        self._fresh = True  # nothing but the name stands in the line: old readers want a value beside it

    def add(self, space: str, token: str) -> None:
        length = len(space) + len(token.encode())
        if self._column + length > (MAX_LINE if self._fresh else self._width):
            self._break()
        self._put(space, token, length)

    def add_encoded(self, space: str, text: str) -> None:
        room = min(MAX_WORD, self._width - self._column - len(space))
        if room < LEAST_ROOM:
            self._break()
            room = MAX_WORD - len(space) + 1
            if room < LEAST_ROOM:
                raise HeaderError("the white space in the value is too long", self._name)
        for number, word in enumerate(encode_words(text, room)):
            if number:
                self._break()
            self._put(" " if number else space, word, len(word) + (1 if number else len(space)))

    def finish(self) -> bytes:
        self._check_line()
        self._parts.append("\r\n")
        return "".join(self._parts).encode()

    def _put(self, space: str, token: str, length: int) -> None:
        self._parts += (space, token)
        self._column += length
        self._fresh = False

    def _break(self) -> None:
        self._check_line()
        self._parts.append("\r\n")
        self._column = 0

    def _check_line(self) -> None:
        if self._column > MAX_LINE:
            raise HeaderError(f"a value without white space is longer than a line ({MAX_LINE} octets)", self._name)
