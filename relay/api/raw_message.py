"""A message that is its request's body (`message/rfc822`): a large one is written to the spool while it is read.

Its envelope stands in a header, as the JSON document without the message. Memory holds a piece of it, not all, as
behind SMTP's DATA; what is refused or broken off is removed again (docs/spool.md, "Large content").
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from aiohttp import web

from relay.account.identity import Identity
from relay.api.posted import Posted, read_envelope, with_content
from relay.api.problem import Problem, from_refusal
from relay.api.request_body import BodyPieces, BodyReader
from relay.engine.incoming import LARGE, IncomingContent
from relay.engine.submission import Intake, Refusal
from relay.smtp.reply import Reply
from relay.spool.work import StoredBody

RAW_TYPE: Final = "message/rfc822"
ENVELOPE: Final = "Leak-Envelope"


class RawReader:
    """Reads them for all requests of one process."""

    def __init__(self, intake: Intake, bodies: BodyReader, max_recipients: int) -> None:
        self._intake = intake
        self._bodies = bodies
        self._max_recipients = max_recipients

    async def read(self, request: web.Request, identity: Identity) -> Posted | Problem:
        """The message and what goes with it. A body that was stored is answered for by intake, once submitted."""
        posted = read_envelope(request.headers.get(ENVELOPE, ""), self._max_recipients)
        if isinstance(posted, Problem):
            return replace(posted, detail=f"The header {ENVELOPE}: {posted.detail}", close=True)
        refusal = self._intake.may_send_from(identity, str(posted.envelope.reverse_path))
        refusal = refusal or self._intake.has_room(request.content_length or 0)
        if refusal is not None:
            return _problem(refusal)
        with self._bodies.streaming(request, LARGE) as pieces:
            if isinstance(pieces, Problem):
                return pieces
            return await _Reading(self._intake, posted).read(pieces)


class _Reading:
    """Of one message."""

    def __init__(self, intake: Intake, posted: Posted) -> None:
        self._intake = intake
        self._posted = posted
        self._held = bytearray()
        self._taken = 0
        self._digest = hashlib.sha256(posted.digest)
        self._incoming: IncomingContent | None = None

    async def read(self, pieces: BodyPieces) -> Posted | Problem:
        try:
            while piece := await pieces.next():
                problem = piece if isinstance(piece, Problem) else await self._take(piece)
                if problem is not None:
                    self._discard()
                    return problem
            return await self._finish()
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        if self._incoming is not None:
            self._incoming.discard()

    async def _take(self, piece: bytes) -> Problem | None:
        self._taken += len(piece)
        if (refusal := self._intake.has_room(self._taken)) is not None:
            return _problem(refusal)
        self._digest.update(piece)
        if self._incoming is None:
            self._held += piece
            if len(self._held) <= LARGE or (incoming := self._intake.receive()) is None:
                return None
            self._incoming, piece = incoming, bytes(self._held)
            self._held.clear()
        reply = await self._incoming.write(piece)  # nothing more is read meanwhile: the client waits for us
        return None if reply is None else _problem(Refusal(reply, "raw"))

    async def _finish(self) -> Posted | Problem:
        if self._incoming is None:
            return self._with(bytes(self._held), None)
        large = await self._incoming.finish()
        return _problem(Refusal(large, "raw")) if isinstance(large, Reply) else self._with(large.head, large.body)

    def _with(self, content: bytes, body: StoredBody | None) -> Posted:
        return replace(with_content(self._posted, content), body=body, digest=self._digest.digest())


def _problem(refusal: Refusal) -> Problem:
    """A refusal before all was read: the rest is not waited for."""
    return replace(from_refusal(refusal), close=True)
