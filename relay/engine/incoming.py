"""Large content on its way in: written to the spool while it is read, so that memory holds a piece of it, not all.

Stands between a door and intake. A door that reads more than `LARGE` octets feeds what it has, and all that follows,
to an `IncomingContent`; what it gets back in the end goes into its `Submission`. Content is checked on the way, and the
first thing found wrong refuses the rest. Whatever is not accepted is removed again: by us, or by the janitor if we die.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from relay.engine.owned import OwnedTasks
from relay.errors import SpoolFullError, SpoolUnavailableError
from relay.log import Log
from relay.mail.check import ContentError
from relay.mail.scan import ContentScan
from relay.mail.sevenbit import to_seven_bit
from relay.signing.slices import SlicedBodyHash
from relay.smtp.reply import Reply, reply
from relay.spool.contract import Spool
from relay.spool.work import Incarnation, StoredBody

_log = Log("intake")

LARGE: Final = 256 * 1024
"""Octets of content above which it is written while it is read; also of each piece."""

FULL: Final = reply(452, "4.3.1", "no room for new mail just now; try again later")
UNAVAILABLE: Final = reply(451, "4.3.0", "the spool cannot be written just now; try again later")

_ORPHAN_PIECES: Final = 16
"""Pieces deleted in one transaction."""


@dataclass(frozen=True, slots=True)
class LargeContent:
    """Content whose body is in the spool: `head` is the header with the empty line."""

    head: bytes
    body: StoredBody


class Bodies:
    """Large bodies of one worker, coming in. `owner` gives the life that owns them."""

    def __init__(self, spool: Spool, owner: Callable[[], Incarnation]) -> None:
        self._spool = spool
        self._owner = owner
        self._tasks = OwnedTasks()
        self._converting = asyncio.Lock()
        self._removing = asyncio.Lock()

    def open(self) -> IncomingContent:
        """A content that begins to come in."""
        return IncomingContent(self, BodyWriter(self._spool, self._owner))

    async def store(self, content: bytes) -> LargeContent | Reply:
        """Content that came whole, stored in pieces as if it had not."""
        incoming = self.open()
        for start in range(0, len(content), LARGE):
            if (refusal := await incoming.write(content[start : start + LARGE])) is not None:
                incoming.discard()
                return refusal
        return await incoming.finish()

    async def to_seven_bit(self, header: bytes, body: StoredBody) -> tuple[bytes, StoredBody]:
        """Header and body with no octet above 127 in the body; the body given is removed.

        The whole body is needed for it, so one a worker is converted at a time. Raises ContentError and
        SpoolUnavailableError.
        """
        async with self._converting:
            whole = io.BytesIO()  # its value is no copy
            async for piece in self._read(body):
                whole.write(piece)
            octets = whole.getvalue()
            whole.close()
            header, octets = await asyncio.to_thread(to_seven_bit, header, octets)
            writer = BodyWriter(self._spool, self._owner)
            try:
                for start in range(0, len(octets), LARGE):
                    await writer.write(octets[start : start + LARGE])
                converted = await writer.finish()
            except BaseException:
                self.discard(writer.seq)
                raise
        self.discard(body.seq)
        return header, converted

    async def _read(self, body: StoredBody) -> AsyncIterator[bytes]:
        after = -1
        while (found := await self._spool.next_piece(body.seq, after)) is not None:
            after, piece = found
            yield piece

    def discard(self, seq: int | None) -> None:
        """Remove a body in a task of our own, unless a message took it."""
        if seq is not None:
            self._tasks.start(self._remove(seq), f"discard-{seq}")

    async def _remove(self, seq: int) -> None:
        try:
            await self._spool.give_up_body(seq)
            async with self._removing:  # one at a time: it is as much to write as what others want to hand in
                while await self._spool.remove_orphan(_ORPHAN_PIECES):
                    pass
        except SpoolUnavailableError as error:
            _log.warning("body-not-removed", error=error)  # its life ends some day, and then the janitor does it


class BodyWriter:
    """Cuts a body into pieces, hashes and commits them. Raises SpoolUnavailableError and SpoolFullError."""

    def __init__(self, spool: Spool, owner: Callable[[], Incarnation]) -> None:
        self._spool = spool
        self._owner = owner
        self._held = bytearray()
        self._hash = SlicedBodyHash()
        self._pieces = 0
        self._octets = 0
        self._ends_line = True
        self.seq: int | None = None

    async def write(self, octets: bytes) -> None:
        """The next octets of the body."""
        self._held += octets
        while len(self._held) >= LARGE:
            piece = bytes(memoryview(self._held)[:LARGE])
            del self._held[:LARGE]
            await self._store(piece)

    async def finish(self, *, eight_bit: bool = False) -> StoredBody:
        """The body, stored; its last line has its end."""
        if not (self._held.endswith(b"\n") if self._held else self._ends_line):
            self._held += b"\r\n"
        seq = self.seq
        if self._held or seq is None:
            seq = await self._store(bytes(self._held))
            self._held.clear()
        return StoredBody(seq, self._pieces, self._octets, self._hash.value, eight_bit)

    async def _store(self, piece: bytes) -> int:
        self._hash.update(piece)
        self._ends_line = piece.endswith(b"\n")
        storing = asyncio.ensure_future(self._spool.store_piece(self._owner(), self.seq, self._pieces, piece))
        try:
            self.seq = await asyncio.shield(storing)
        except asyncio.CancelledError:
            with suppress(SpoolUnavailableError):
                self.seq = await storing  # a body whose number nobody knows could not be removed
            raise
        self._pieces += 1
        self._octets += len(piece)
        return self.seq


class IncomingContent:
    """One content. Ends with `finish`, whose result intake answers for, or with `discard`."""

    def __init__(self, bodies: Bodies, writer: BodyWriter) -> None:
        self._bodies = bodies
        self._writer = writer
        self._scan = ContentScan()

    async def write(self, octets: bytes) -> Reply | None:
        """Take the next octets, cut anywhere; the refusal of all of it, if it cannot be taken."""
        try:
            await self._writer.write(self._scan.feed(octets))
        except ContentError as error:
            return error.reply
        except SpoolFullError:
            return FULL
        except SpoolUnavailableError as error:
            _log.error("piece-failed", error=error)
            return UNAVAILABLE
        return None

    async def finish(self) -> LargeContent | Reply:
        """All was written; what there is to submit, or the refusal of it."""
        try:
            header = self._scan.finish()
            body = await self._writer.finish(eight_bit=self._scan.eight_bit)
        except ContentError as error:
            self.discard()
            return error.reply
        except SpoolUnavailableError as error:
            self.discard()
            _log.error("piece-failed", error=error)
            return FULL if isinstance(error, SpoolFullError) else UNAVAILABLE
        return LargeContent(header + b"\r\n", body)

    def discard(self) -> None:
        """It will not be submitted: what was written is removed."""
        self._bodies.discard(self._writer.seq)
