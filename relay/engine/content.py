"""The bytes of a parcel when a session is ready for it: the prelude, written now if it was not yet, and the content.

A message whose content is torn, or whose domain's key cannot be used, is held with an alarm and all others go on.
"""

from __future__ import annotations

from relay.crash_points import reach
from relay.engine.alarms import Alarms
from relay.engine.prelude import PreludeWriter
from relay.engine.settler import Settler
from relay.event import EventKind
from relay.mail.header import HeaderError
from relay.policy.alarms import AlarmKind
from relay.policy.state import State
from relay.signing.contract import KeyUnavailableError
from relay.spool.contract import Spool
from relay.spool.work import Parcel, Settlement


class ContentReader:
    """Reads what is to be sent; None when the parcel was held instead. Raises SpoolUnavailableError."""

    def __init__(self, spool: Spool, prelude: PreludeWriter, settler: Settler, alarms: Alarms, node_name: str) -> None:
        self._spool = spool
        self._prelude = prelude
        self._settler = settler
        self._alarms = alarms
        self._node_name = node_name

    async def read(self, parcel: Parcel) -> tuple[bytes, bytes] | None:
        """Prelude and content, in the order in which they are sent."""
        try:
            content = parcel.content if parcel.content is not None else await self._spool.content(parcel.seq)
        except KeyError:
            await self._hold_torn(parcel)
            return None
        try:
            prelude = parcel.prelude if parcel.prelude is not None else await self._write_prelude(parcel, content)
        except KeyUnavailableError as error:
            await self._hold(parcel, AlarmKind.DKIM_KEY, error.domain, f"the DKIM key cannot be used: {error.reason}")
            return None
        except HeaderError:
            await self._hold_torn(parcel)
            return None
        reach("content-read")
        return prelude, content

    async def _write_prelude(self, parcel: Parcel, content: bytes) -> bytes:
        domain = parcel.sign_as or self._node_name
        prelude = await self._prelude.write(content, parcel, domain)
        return await self._spool.set_prelude(parcel.seq, prelude)

    async def _hold_torn(self, parcel: Parcel) -> None:
        await self._hold(parcel, AlarmKind.TORN_CONTENT, parcel.id, "the content in the spool is missing or torn")

    async def _hold(self, parcel: Parcel, alarm: AlarmKind, subject: str, reason: str) -> None:
        await self._alarms.start(alarm, subject, reason)
        for duty in parcel.duties:
            self._settler.add(Settlement(duty.seq, duty.n, State.HELD, event=EventKind.HELD, detail={"reason": reason}))
