"""Content as it goes over the wire: after DATA with stuffed dots and the final one, after BDAT as it is (RFC 3030).

Stands between a transaction's content and the socket. Guarantees that every line that begins with a dot gets
a second one, that the last line ends in CRLF, that `.` CRLF follows exactly once (RFC 5321 §4.5.2), and that
no CR or LF leaves except as CRLF: where content would smuggle one, the writer stops instead (A09, A10, S02).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

CHUNK: Final = 256 * 1024
"""Octets looked at in one go: a large letter is stuffed a slice at a time, so that the loop never waits long."""

FINAL_DOT: Final = b".\r\n"

_NOT_LINE_ENDS = bytes(octet for octet in range(256) if octet not in b"\r\n")


class BareLineEndError(ValueError):
    """Content holds a CR or an LF that is not part of a CRLF (RFC 5321 §2.3.8); it must not be sent."""


def stuffed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The wire form of `pieces` taken as one content, final dot included; the last slice is never empty.

    Pieces may be cut anywhere, even inside a CRLF. Raises BareLineEndError before the offending slice is
    given out; what was given out until then holds no bare line end.
    """
    line_start = True
    for chunk in _checked(pieces):
        yield _stuff(chunk, line_start)
        line_start = chunk.endswith(b"\n")
    yield FINAL_DOT if line_start else b"\r\n" + FINAL_DOT


def plain(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """`pieces` taken as one content, for BDAT: unstuffed, ended with a CRLF. Raises as `stuffed` does."""
    line_start = True
    for chunk in _checked(pieces):
        yield chunk
        line_start = chunk.endswith(b"\n")
    if not line_start:
        yield b"\r\n"


def plain_size(pieces: Sequence[bytes]) -> int:
    """The octets that `plain` gives out."""
    last = next((piece for piece in reversed(pieces) if piece), b"\n")
    return sum(map(len, pieces)) + (0 if last.endswith(b"\n") else 2)


def _checked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content in slices that end in no half of a CRLF, each free of bare line ends."""
    held = b""
    """A CR at the end of a slice waits for the LF that must follow it."""
    for piece in pieces:
        for part in _slices(piece):
            chunk = held + part if held else part
            if chunk.endswith(b"\r"):
                chunk, held = chunk[:-1], b"\r"
            else:
                held = b""
            if chunk:
                _check(chunk)
                yield chunk
    if held:
        raise BareLineEndError("the content ends in a bare CR")


def stuff(pieces: Iterable[bytes]) -> bytes:
    """The whole wire form in one value, for content small enough to be written at once. Raises BareLineEndError."""
    content = b"".join(pieces)
    _check(content)
    end = FINAL_DOT if content.endswith(b"\n") or not content else b"\r\n" + FINAL_DOT
    return _stuff(content, True) + end


def _slices(piece: bytes) -> Iterator[bytes]:
    if len(piece) <= CHUNK:
        yield piece
        return
    for start in range(0, len(piece), CHUNK):
        yield piece[start : start + CHUNK]


def _check(chunk: bytes) -> None:
    """All CR and LF stand in pairs exactly when they are twice as many as the pairs."""
    if len(chunk.translate(None, _NOT_LINE_ENDS)) != 2 * chunk.count(b"\r\n"):
        raise BareLineEndError("the content holds a bare CR or LF")


def _stuff(chunk: bytes, line_start: bool) -> bytes:
    if b"\n." in chunk:
        chunk = chunk.replace(b"\n.", b"\n..")
    return b"." + chunk if line_start and chunk.startswith(b".") else chunk
