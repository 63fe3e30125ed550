"""Eight-bit bodies made fit for hosts without 8BITMIME, before signing (RFC 6152 §3, RFC 2045 §6).

Only leaf parts that hold octets above 127 change: their body becomes quoted-printable (mostly readable text)
or base64, their Content-Transfer-Encoding says so, and the entities around them are declared 7bit. Boundaries
and all other octets stay. What a reader decodes is the same as before. The rules where that cannot be had:

- refused (550 5.6.3): a signed part (conversion would break its signature), octets above 127 in the header of
  a part, in a preamble or epilogue, or in a body already said to be base64 or quoted-printable; message/partial
  and message/external-body; a multipart without a readable boundary; more than 100 levels, 10,000 parts,
  or 256 MiB of size times levels;
- a leaf without Content-Type is declared `text/plain; charset=utf-8` if it is valid UTF-8, and otherwise left
  undeclared; a text part without charset is left so;
- a message without MIME-Version gets one, or the encoding would not be read.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final, NoReturn

from relay.mail.check import ContentError
from relay.mail.content_type import media_type, parameters
from relay.mail.encoding import base64_lines, is_dense, quoted_printable
from relay.mail.header import Field, HeaderError, join_fields, parse_fields, split_content
from relay.smtp.reply import reply

_SLICE: Final = 64 * 1024
MAX_DEPTH: Final = 100
MAX_PARTS: Final = 10_000
MAX_OCTETS: Final = 256 * 1024 * 1024
"""What one conversion may go through, size times levels: 25 MB within ten levels."""

_DELIMITER_TAIL = re.compile(rb"(--)?[ \t]*+(?:\r\n|\Z)")
_IDENTITY: Final = frozenset({b"7bit", b"8bit", b"binary"})
_TEXT_PLAIN: Final = ("text", "plain")


def to_seven_bit(header: bytes, body: bytes) -> tuple[bytes, bytes]:
    """The header and body with no octet above 127 in the body; the same objects if there was none.

    The top header's own octets are not looked at. Raises ContentError by the rules above.
    """
    if body.isascii():
        return header, body
    try:
        return _Converter().entity(header, body, depth=0, message=True)
    except HeaderError as error:
        _refuse(error.reason)


def _refuse(reason: str) -> NoReturn:
    raise ContentError(reply(550, "5.6.3", f"the message cannot be converted to 7 bits: {reason}"))


class _Converter:
    """One conversion; counts the parts and octets it has gone through, each octet once a level."""

    __slots__ = ("_octets", "_parts")

    def __init__(self) -> None:
        self._octets = 0
        self._parts = 0

    def entity(self, header: bytes, body: bytes, *, depth: int, message: bool) -> tuple[bytes, bytes]:
        """Convert one entity: the message itself, a part, or a message within."""
        if body.isascii():
            return header, body
        if depth > MAX_DEPTH:
            _refuse(f"its parts nest deeper than {MAX_DEPTH} levels")
        self._octets += len(body)
        if self._octets > MAX_OCTETS:
            _refuse("its parts nest too deeply for its size")
        fields = _Fields(parse_fields(header))
        kind = fields.kind()
        if fields.encoding() not in _IDENTITY:
            _refuse("a part holds octets above 127 although its encoding does not allow them")
        match kind:
            case ("multipart", "signed"):
                _refuse("a signed part holds octets above 127")
            case ("multipart", _):
                body = self._multipart(body, _boundary(fields), depth)
                encoding = "7bit"
            case ("message", "rfc822" | "news"):
                inner_header, inner = split_content(body)
                if not inner_header.isascii():
                    _refuse("the header of a message within holds octets above 127")
                inner_header, inner = self.entity(inner_header, inner, depth=depth + 1, message=True)
                body = inner_header + b"\r\n" + inner
                encoding = "7bit"
            case ("message", "partial" | "external-body"):
                _refuse("a partial or external message holds octets above 127")
            case _:
                if fields.value(b"content-type") is None and _is_utf8(body):
                    fields.put("Content-Type", "text/plain; charset=utf-8")
                encoding, body = _leaf(body, kind, binary=fields.encoding() == b"binary", final=message)
        if message and fields.value(b"mime-version") is None:
            fields.put("MIME-Version", "1.0")
        fields.put("Content-Transfer-Encoding", encoding)
        return fields.header(), body

    def _multipart(self, body: bytes, boundary: bytes, depth: int) -> bytes:
        """Convert the parts; preamble, delimiters and epilogue are copied."""
        pieces: list[bytes] = []
        start = 0
        inside = False
        for at, end, closes in _delimiters(body, boundary):
            stop = max(start, at - 2)  # the line end before a delimiter belongs to it, unless the part is empty
            pieces += (self._inside(body[start:stop], depth, part=inside), body[stop:end])
            start, inside = end, not closes
        pieces.append(self._inside(body[start:], depth, part=inside))
        return b"".join(pieces)

    def _inside(self, text: bytes, depth: int, *, part: bool) -> bytes:
        """One part, or the preamble or epilogue."""
        if part:
            return self._part(text, depth)
        if not text.isascii():
            _refuse("the text outside its parts holds octets above 127")
        return text

    def _part(self, part: bytes, depth: int) -> bytes:
        self._parts += 1
        if self._parts > MAX_PARTS:
            _refuse(f"it has more than {MAX_PARTS} parts")
        if part.isascii():
            return part
        header, body = split_content(part)
        if not header.isascii():
            _refuse("the header of a part holds octets above 127")
        header, body = self.entity(header, body, depth=depth + 1, message=False)
        return header + b"\r\n" + body


class _Fields:
    """The fields of an entity, which can be replaced in place or appended."""

    __slots__ = ("_fields",)

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self._fields = list(fields)

    def value(self, key: bytes) -> bytes | None:
        found = [field.value for field in self._fields if field.key == key]
        if len(found) > 1:
            _refuse("a field that describes a part occurs twice")
        return found[0] if found else None

    def kind(self) -> tuple[str, str]:
        """Type and subtype; what cannot be read is a leaf, unless it wants to be a container."""
        value = self.value(b"content-type")
        if value is None:
            return _TEXT_PLAIN
        kind = media_type(value)
        if kind is None and value.lower().startswith((b"multipart", b"message")):
            _refuse("the Content-Type of a part is malformed")
        return kind or ("application", "octet-stream")

    def encoding(self) -> bytes:
        value = self.value(b"content-transfer-encoding")
        return value.partition(b"(")[0].strip().lower() if value else b"7bit"

    def put(self, name: str, value: str) -> None:
        raw = f"{name}: {value}\r\n".encode()
        key = name.lower().encode()
        for number, field in enumerate(self._fields):
            if field.key == key:
                self._fields[number] = Field(field.name, raw)
                return
        self._fields.append(Field(name.encode(), raw))

    def header(self) -> bytes:
        return join_fields(self._fields)


def _boundary(fields: _Fields) -> bytes:
    boundary = parameters(fields.value(b"content-type") or b"").get("boundary", "")
    if not boundary or not boundary.isascii():
        _refuse("a multipart has no readable boundary")
    return boundary.rstrip(" ").encode()


def _delimiters(body: bytes, boundary: bytes) -> Iterator[tuple[int, int, bool]]:
    """Each delimiter line up to the closing one: its start, the start of what follows, whether it closes.

    A delimiter stands at the start of a line and fills it, but for white space (RFC 2046 §5.1.1).
    """
    mark = b"--" + boundary
    at = 0
    while True:
        tail = _DELIMITER_TAIL.match(body, at + len(mark)) if body.startswith(mark, at) else None
        if tail is not None:
            closes = tail[1] is not None
            yield at, tail.end(), closes
            if closes:
                return
        before = body.find(b"\r\n" + mark, at)
        if before < 0:
            return
        at = before + 2


def _is_utf8(body: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(body), _SLICE):
            decoder.decode(body[start : start + _SLICE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _leaf(body: bytes, kind: tuple[str, str], *, binary: bool, final: bool) -> tuple[str, bytes]:
    if kind[0] == "text" and not binary and not is_dense(body):
        return "quoted-printable", quoted_printable(body)
    # Inside a multipart the line end before the delimiter belongs to the delimiter.
    return "base64", base64_lines(body) + (b"\r\n" if final else b"")
