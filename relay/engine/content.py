"""The bytes of a parcel when a session is ready for it: the prelude, written now if it was not yet, and the content.

A message whose content is torn, or whose domain's key cannot be used, is held with an alarm and all others go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from relay.crash_points import reach
from relay.engine.alarms import Alarms
from relay.engine.incoming import LARGE
from relay.engine.prelude import PreludeWriter
from relay.engine.settler import Settler
from relay.errors import SpoolUnavailableError
from relay.event import EventKind
from relay.mail.header import HeaderError, split_content
from relay.policy.alarms import AlarmKind
from relay.policy.state import State
from relay.signing.contract import KeyUnavailableError
from relay.signing.slices import SlicedBodyHash
from relay.spool.contract import Spool
from relay.spool.work import Parcel, Settlement, StoredContent


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is sent of a parcel: prelude, content or its beginning, and the rest of a large one."""

    prelude: bytes
    head: bytes
    tail: StoredTail | None = None

    @property
    def size(self) -> int:
        """Octets of all of it."""
        return len(self.prelude) + len(self.head) + (0 if self.tail is None else self.tail.size)


class StoredTail:
    """Implements `relay.egress.contract.Tail`: the pieces of a stored content after the first, one at a time."""

    def __init__(self, spool: Spool, stored: StoredContent) -> None:
        self._spool = spool
        self._stored = stored
        self.size = stored.size - len(stored.first)
        self.ends_line = stored.ends_line

    async def pieces(self) -> AsyncIterator[bytes]:
        """Raises SpoolUnavailableError, also when a piece is gone that was there."""
        after, left = self._stored.piece, self.size
        while (found := await self._spool.next_piece(self._stored.seq, after)) is not None:
            after, piece = found
            left -= len(piece)
            yield piece
        if left:
            raise SpoolUnavailableError("the content changed while it was read")


class ContentReader:
    """Reads what is to be sent; None when the parcel was held instead. Raises SpoolUnavailableError."""

    def __init__(self, spool: Spool, prelude: PreludeWriter, settler: Settler, alarms: Alarms, node_name: str) -> None:
        self._spool = spool
        self._prelude = prelude
        self._settler = settler
        self._alarms = alarms
        self._node_name = node_name

    async def read(self, parcel: Parcel) -> Outgoing | None:
        """What is to be sent; a large content is only begun."""
        try:
            content, tail = await self._open(parcel)
        except KeyError:
            await self._hold_torn(parcel)
            return None
        try:
            prelude = parcel.prelude
            if prelude is None:
                prelude = await self._write_prelude(parcel, content, tail)
        except KeyUnavailableError as error:
            await self._hold(parcel, AlarmKind.DKIM_KEY, error.domain, f"the DKIM key cannot be used: {error.reason}")
            return None
        except HeaderError:
            await self._hold_torn(parcel)
            return None
        reach("content-read")
        return Outgoing(prelude, content, tail)

    async def _open(self, parcel: Parcel) -> tuple[bytes, StoredTail | None]:
        if parcel.content is not None:
            return parcel.content, None
        if parcel.size <= LARGE:
            return await self._spool.content(parcel.seq), None
        stored = await self._spool.open_content(parcel.seq)
        return stored.first, StoredTail(self._spool, stored)

    async def _write_prelude(self, parcel: Parcel, content: bytes, tail: StoredTail | None) -> bytes:
        domain = parcel.sign_as or self._node_name
        body_hash = None
        if tail is not None:
            hashing = SlicedBodyHash()
            hashing.update(split_content(content)[1])
            async for piece in tail.pieces():
                hashing.update(piece)
            body_hash = hashing.value
        prelude = await self._prelude.write(content, parcel, domain, body_hash)
        return await self._spool.set_prelude(parcel.seq, prelude)

    async def _hold_torn(self, parcel: Parcel) -> None:
        await self._hold(parcel, AlarmKind.TORN_CONTENT, parcel.id, "the content in the spool is missing or torn")

    async def _hold(self, parcel: Parcel, alarm: AlarmKind, subject: str, reason: str) -> None:
        await self._alarms.start(alarm, subject, reason)
        for duty in parcel.duties:
            self._settler.add(Settlement(duty.seq, duty.n, State.HELD, event=EventKind.HELD, detail={"reason": reason}))
