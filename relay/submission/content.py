"""Content as it comes in after DATA: read up to CRLF.CRLF, dots unstuffed, counted and checked on the way.

The only end of a message is CRLF "." CRLF (RFC 5321 §4.1.1.4; C04, S01). A bare CR or LF, or a NUL, never
ends anything: the whole message is read and then refused. Sizes count octets with CRLF, without stuffed
dots and without the terminator (RFC 1870 §5; D03). Whatever is over the limit is read and thrown away, so
memory holds at most one message a session, and the octets of all sessions are bounded together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Final

TERMINATOR: Final = b"\r\n.\r\n"


class Defect(Enum):
    """Why a message cannot be taken."""

    TOO_BIG = auto()
    NO_ROOM = auto()
    BARE_LINE_END = auto()
    NUL = auto()
    REFUSED = auto()
    """By whom it was written to while it came in."""


class EndlessContentError(Exception):
    """The client goes on sending far beyond the limit; the session is not worth saving."""


class ContentDecoder:
    """Takes the octets after DATA in pieces cut anywhere, gives the content.

    `limit` is the largest content in octets; `reserve` grants memory for a number of octets, or not.
    """

    __slots__ = ("_begun", "_held", "_limit", "_parts", "_reserve", "defect", "parts_size", "reserved", "size")

    def __init__(self, limit: int, reserve: Callable[[int], bool]) -> None:
        self._limit = limit
        self._reserve = reserve
        self._parts: list[bytes] = []
        # DATA begins at the start of a line, so the first dot is stuffed as if a CRLF stood before it.
        self._held = b"\r\n"
        self._begun = False
        self.size = -2
        self.parts_size = 0
        """Octets held now."""
        self.reserved = 0
        self.defect: Defect | None = None

    def feed(self, piece: bytes, *, last: bool = False) -> None:
        """Take the next octets; `last` ones end with the line end before the terminator's dot.

        What could be half of a line end or the line end before a stuffed dot waits for the next piece.
        """
        text = self._held + piece
        if last:
            self._held = b""
        else:
            keep = 2 if text.endswith(b"\r\n") else 1 if text.endswith(b"\r") else 0
            self._held = text[len(text) - keep :]
            text = text[: len(text) - keep]
        self._check(text)
        if b"\r\n." in text:
            text = text.replace(b"\r\n.", b"\r\n")
        self.size += len(text)
        if self.size > self._limit:
            self._spoil(Defect.TOO_BIG)
        if self.defect is None and text:
            if self._reserve(len(text)):
                self.reserved += len(text)
                self.parts_size += len(text)
                self._parts.append(text)
            else:
                self._spoil(Defect.NO_ROOM)

    def content(self) -> bytes:
        """What is held: the whole content, or what came since it was last asked for; it is given up.

        Meaningful when there is no defect. What was reserved for it stays so.
        """
        held = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self.parts_size = 0
        if self._begun:
            return held
        self._begun = True
        return held[2:]

    def refuse(self) -> None:
        """Nobody wants it any more: the rest is read and thrown away."""
        self._spoil(Defect.REFUSED)

    def _check(self, text: bytes) -> None:
        if b"\0" in text:
            self._spoil(Defect.NUL)
        pairs = text.count(b"\r\n")
        if text.count(b"\r") != pairs or text.count(b"\n") != pairs:
            self._spoil(Defect.BARE_LINE_END)

    def _spoil(self, defect: Defect) -> None:
        """Too big outranks the rest: the client may send that message elsewhere, and only the size is to blame."""
        if self.defect is None or defect is Defect.TOO_BIG:
            self.defect = defect
        self._parts.clear()
        self.parts_size = 0


async def _keep() -> None:
    """What was decoded stays in the decoder."""


async def read_content(
    reader: asyncio.StreamReader,
    decoder: ContentDecoder,
    drain: int,
    progress: Callable[[int], None],
    store: Callable[[], Awaitable[None]] = _keep,
) -> None:
    """Feed `decoder` from `reader` up to and with the terminator; `progress` hears how many octets were taken.

    `store` is awaited after each piece but the last: it may take what is held, and nothing is read meanwhile.

    At most `drain` octets are read in all, then EndlessContentError. Raises IncompleteReadError when the
    client goes away. The caller's timer bounds the time of the phase.
    """
    head = await reader.readexactly(3)
    if head == b".\r\n":
        decoder.feed(b"", last=True)
        return
    # The terminator may begin within these three octets, so they go back to where the search starts.
    reader._buffer[:0] = head  # type: ignore[attr-defined]
    taken = 0
    while True:
        try:
            piece = await reader.readuntil(TERMINATOR)
        except asyncio.LimitOverrunError as overrun:
            piece = await reader.read(overrun.consumed)
            taken += len(piece)
            progress(taken)
            decoder.feed(piece)
            if taken > drain:
                raise EndlessContentError from None
            await store()
            continue
        decoder.feed(piece[:-3], last=True)
        return
