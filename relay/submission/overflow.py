"""What a session does with content that is too large to be held: it writes it on while it reads.

Up to `LARGE` octets stay in the decoder. From then on what was decoded goes to intake, and the client is not read from
before that is on disk; so a session holds one piece, whatever the letter's size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relay.engine.incoming import LARGE, IncomingContent
from relay.smtp.reply import Reply
from relay.spool.work import StoredBody
from relay.submission.content import ContentDecoder, Defect
from relay.submission.patience import ClientTimer

Receive = Callable[[], IncomingContent | None]
"""Opens where large content goes; None: it is held whole."""


@dataclass(frozen=True, slots=True)
class ContentRead:
    """A content that was read: whole, or its header and the body that was stored; and the octets reserved for it."""

    content: bytes
    reserved: int
    body: StoredBody | None = None


class Overflow:
    """Of one content. Ends with `discard`, unless `finish` gave a `ContentRead`."""

    def __init__(
        self, decoder: ContentDecoder, receive: Receive, timer: ClientTimer, release: Callable[[int], None]
    ) -> None:
        self._decoder = decoder
        self._receive = receive
        self._timer = timer
        self._release = release
        self._incoming: IncomingContent | None = None
        self._refusal: Reply | None = None

    async def store(self) -> None:
        """Write on what the decoder holds, if that is too much for it."""
        decoder = self._decoder
        if decoder.defect is not None:
            return
        if self._incoming is None:
            if decoder.parts_size <= LARGE:
                return
            self._incoming = self._receive()
        if self._incoming is not None:
            await self._write(self._incoming)

    async def finish(self) -> ContentRead | Defect | Reply:
        """All was read; why it is refused, if it is."""
        decoder = self._decoder
        if self._incoming is not None and decoder.defect is None:
            await self._write(self._incoming)
        if decoder.defect is not None:
            return self._refusal or decoder.defect
        if self._incoming is None:
            return ContentRead(decoder.content(), decoder.reserved)
        self._timer.begin_work()
        try:
            large = await self._incoming.finish()
        finally:
            self._timer.end_work()
        return large if isinstance(large, Reply) else ContentRead(large.head, decoder.reserved, large.body)

    def discard(self) -> None:
        """Nothing of it is kept."""
        if self._incoming is not None:
            self._incoming.discard()
        self._release(self._decoder.reserved)

    async def _write(self, incoming: IncomingContent) -> None:
        """The client waits for us meanwhile; a piece's room stays reserved, for what is written stands in it."""
        octets = self._decoder.content()
        self._timer.begin_work()
        try:
            self._refusal = await incoming.write(octets)
        finally:
            self._timer.end_work()
        surplus = max(0, self._decoder.reserved - LARGE)
        self._release(surplus)
        self._decoder.reserved -= surplus
        if self._refusal is not None:
            self._decoder.refuse()
