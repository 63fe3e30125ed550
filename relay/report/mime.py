"""A received message taken apart: header fields and parts, out of octets nobody vouches for.

Under every reader of this package. Unlike the standard library's parser it has fixed caps (S28: depth, parts,
fields, header size), is linear in its input, never raises for what a message contains and mends what broken
programs write: bare LF, a missing or wrong boundary, types in any case, an encoding that was not kept.
"""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from relay.report.decoding import MAX_TEXT, as_text, decode_words, plain_text

MAX_DEPTH: Final = 12
MAX_PARTS: Final = 300
MAX_FIELDS: Final = 1000
MAX_HEADER: Final = 256 * 1024
MAX_VALUE: Final = 16 * 1024

_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*+:(.*)", re.DOTALL)
_PARAMETER = re.compile(r";\s*+([\w!#$%&'*+.^`{|}~-]++)\s*+=\s*+(?:\"((?:[^\"\\]|\\.)*+)\"?|([^\s;]*+))", re.DOTALL)
_FIRST_DELIMITER = re.compile(rb"(?:\A|\n)--((?:[^\s-]|-(?=[^\n]{2,100}\n(?i:content-)))[^\n]{2,100}?)[ \t]*\n")
_ENVELOPE_LINE = re.compile(rb"\A(?:[ \t]*+\n|>?From [^\n]*+\n)++")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_ENCODED_BODIES: Final = frozenset({"base64", "quoted-printable"})


@dataclass(frozen=True, slots=True)
class Part:
    """One entity: its fields (lower-case name, unfolded value), its type, and body or children."""

    fields: tuple[tuple[str, str], ...]
    kind: str
    """The media type in lower case, `text/plain` when none or nonsense is given (RFC 2045 §5.2)."""
    parameters: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    """As transmitted, with LF line ends."""
    children: tuple[Part, ...] = ()

    def first(self, name: str) -> str:
        """The value of the first field of that lower-case name, or ""."""
        return next((value for key, value in self.fields if key == name), "")

    def every(self, name: str) -> Iterator[str]:
        """The values of all fields of that lower-case name."""
        return (value for key, value in self.fields if key == name)

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def near(self) -> Iterator[Part]:
        """This part and those below it that are not inside an enclosed message."""
        yield self
        if self.kind not in _MESSAGES:
            for child in self.children:
                yield from child.near()

    @property
    def file_name(self) -> str:
        """The name an attachment carries, or ""."""
        _, disposition = _parse_type(self.first("content-disposition"))
        return decode_words(disposition.get("filename") or self.parameters.get("name", ""))

    @property
    def data(self) -> bytes:
        """The body with its transfer encoding undone; as it came where it was not kept."""
        return _decoded(self.body, self.first("content-transfer-encoding").strip().lower())

    @property
    def text(self) -> str:
        """The body as text, at most `MAX_TEXT` octets of it; HTML without its tags."""
        return self.shown(MAX_TEXT)

    def shown(self, limit: int) -> str:
        """The first `limit` octets of the body, or a little less, as text; HTML without its tags."""
        encoding = self.first("content-transfer-encoding").strip().lower()
        body = self.body if encoding in _ENCODED_BODIES else self.body[:limit]
        shown = as_text(_decoded(body[: 2 * limit], encoding)[:limit], self.parameters.get("charset", ""))
        return plain_text(shown) if self.kind == "text/html" else shown


def parse(raw: bytes) -> Part:
    """The message in `raw`; leading blank lines and an mbox's From line are passed over. Raises nothing."""
    text = raw.replace(b"\r\n", b"\n")
    if b"\r" in text:
        text = text.replace(b"\r", b"\n")
    start = _ENVELOPE_LINE.match(text)
    return _Parser().entity(text[start.end() :] if start else text, 0)


def read_fields(text: bytes) -> tuple[tuple[str, str], ...]:
    """The fields at the start of `text` (LF line ends), up to the first empty line; what is no field is dropped."""
    return _fields(_split(text)[0])


class _Parser:
    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = 0

    def entity(self, text: bytes, depth: int, default: str = "text/plain") -> Part:
        self._parts += 1
        header, body = _split(text)
        fields = _fields(header)
        given = next((value for key, value in fields if key == "content-type"), "")
        kind, parameters = _parse_type(given) if given else ("", {})
        kind = kind if "/" in kind else default
        children: tuple[Part, ...] = ()
        if depth < MAX_DEPTH and self._parts < MAX_PARTS:
            if kind.startswith("multipart/"):
                children = self._split_parts(body, parameters.get("boundary", ""), kind, depth)
            elif kind in _MESSAGES:
                encoding = next((value for key, value in fields if key == "content-transfer-encoding"), "")
                inner = _decoded(body, encoding.strip().lower()).replace(b"\r\n", b"\n")
                children = (self.entity(inner.lstrip(b"\n"), depth + 1),)
        return Part(fields, kind, parameters, body, children)

    def _split_parts(self, body: bytes, boundary: str, kind: str, depth: int) -> tuple[Part, ...]:
        mark = boundary.rstrip().encode("utf-8", "replace")
        if not mark or b"--" + mark not in body:
            guess = _FIRST_DELIMITER.search(body)
            if guess is None:
                return ()
            mark = guess[1].rstrip()
        default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
        found: list[Part] = []
        for piece in _pieces(body, b"--" + mark):
            if self._parts >= MAX_PARTS:
                break
            found.append(self.entity(piece, depth + 1, default))
        return tuple(found)


_MESSAGES: Final = frozenset({"message/rfc822", "message/global", "message/news"})


def _pieces(body: bytes, mark: bytes) -> Iterator[bytes]:
    """What stands between the delimiter lines; an unclosed last piece counts (RFC 2046 §5.1.1)."""
    start = -1
    position = 0
    while True:
        at = body.find(mark, position)
        if at < 0:
            break
        position = at + len(mark)
        if at and body[at - 1] != 10:
            continue  # before its line is looked at: a line may hold a million marks
        end = body.find(b"\n", at)
        end = len(body) if end < 0 else end
        rest = body[at + len(mark) : end].strip()
        if rest not in (b"", b"--"):
            continue
        if start >= 0:
            yield body[start : max(start, at - 1)]
        start = min(end + 1, len(body))
        position = end
        if rest == b"--":
            return
    if 0 <= start < len(body):
        yield body[start:]


def _split(text: bytes) -> tuple[bytes, bytes]:
    """Header and body; text that begins with no field is all body."""
    if text.startswith(b"\n"):
        return b"", text[1:]
    line = text[: text.find(b"\n")] if b"\n" in text[:2000] else text[:2000]
    if _FIELD.match(line) is None:
        return b"", text
    end = text.find(b"\n\n")
    if end < 0:
        return text[:MAX_HEADER], b""
    return text[: min(end, MAX_HEADER)], text[end + 2 :]


def _fields(header: bytes) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    name = ""
    pieces: list[bytes] = []
    for line in header.split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            pieces.append(line.strip())
            continue
        match = _FIELD.match(line)
        if match is None:
            continue
        if name:
            found.append((name, _shown(b" ".join(pieces))))
        if len(found) >= MAX_FIELDS:
            return tuple(found)
        name = match[1].decode("ascii").lower()
        pieces = [match[2].strip()]
    if name:
        found.append((name, _shown(b" ".join(pieces))))
    return tuple(found)


def _shown(value: bytes) -> str:
    value = value[:MAX_VALUE]
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@lru_cache(maxsize=256)
def _parse_type(value: str) -> tuple[str, dict[str, str]]:
    head = value.partition(";")[0].strip().lower().rstrip(",")
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(value):
        name = match[1].lower().rstrip("*")
        found.setdefault(name, match[3] if match[2] is None else match[2])
    return "".join(head.split()), found


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        clean = _NOT_BASE64.sub(b"", body.partition(b"=")[0] if body.count(b"=") <= 2 else body)
        try:
            return binascii.a2b_base64(clean[: len(clean) // 4 * 4] + _tail(clean))
        except (binascii.Error, ValueError):
            return body
    if encoding == "quoted-printable":
        return quopri.decodestring(body)
    return body


def _tail(clean: bytes) -> bytes:
    """The last incomplete group of base64, padded; one lone character says nothing."""
    rest = clean[len(clean) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
