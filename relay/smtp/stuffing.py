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


class WireForm:
    """One content as it goes over the wire, made piece by piece: for DATA, or unstuffed for BDAT.

    Pieces may be cut anywhere, even inside a CRLF. Raises BareLineEndError before the offending slice is given out;
    what was given out until then holds no bare line end.
    """

    __slots__ = ("_held", "_line_start", "_stuffs")

    def __init__(self, *, stuffs: bool) -> None:
        self._stuffs = stuffs
        self._line_start = True
        self._held = b""
        """A CR at the end of a slice waits for the LF that must follow it."""

    def take(self, piece: bytes) -> Iterator[bytes]:
        """The slices of the next piece; to be gone through before the next."""
        for part in _slices(piece):
            chunk = self._held + part if self._held else part
            self._held = b"\r" if chunk.endswith(b"\r") else b""
            if self._held:
                chunk = chunk[:-1]
            if chunk:
                _check(chunk)
                yield _stuff(chunk, self._line_start) if self._stuffs else chunk
                self._line_start = chunk.endswith(b"\n")

    def end(self) -> bytes:
        """What ends the content: the line end it lacks, the final dot."""
        if self._held:
            raise BareLineEndError("the content ends in a bare CR")
        return (b"" if self._line_start else b"\r\n") + (FINAL_DOT if self._stuffs else b"")


def stuffed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The wire form of `pieces` taken as one content, final dot included; the last slice is never empty."""
    form = WireForm(stuffs=True)
    for piece in pieces:
        yield from form.take(piece)
    yield form.end()


def plain(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """`pieces` taken as one content, for BDAT: unstuffed, ended with a CRLF."""
    form = WireForm(stuffs=False)
    for piece in pieces:
        yield from form.take(piece)
    if end := form.end():
        yield end


def plain_size(pieces: Sequence[bytes]) -> int:
    """The octets that `plain` gives out."""
    last = next((piece for piece in reversed(pieces) if piece), b"\n")
    return sum(map(len, pieces)) + (0 if last.endswith(b"\n") else 2)


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
