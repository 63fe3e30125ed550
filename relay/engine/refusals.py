"""Standing refusals on the path of a message: asked at intake, again when a session is ready, and before the dot.

The last look is at memory alone: a refusal that came after the second one stops the transaction before its content
and final dot are written, whichever process wrote it. What was sent stays delivered; what was not is suppressed:
never both, never neither (R17, N06).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from relay.engine.settler import Settler
from relay.event import EventKind
from relay.log import Log
from relay.mail.address import Address
from relay.policy.state import State
from relay.policy.suppress import Mark
from relay.spool.work import Door, Parcel, Settlement
from relay.suppression.book import SuppressionBook

_log = Log("delivery")


@dataclass(slots=True)
class Departure:
    """A parcel on its way out: what is left of it, and whether it may still be finished."""

    parcel: Parcel | None
    """Without the deliveries that were suppressed; None when none is left."""
    _book: SuppressionBook | None = None
    _since: int = 0
    _addresses: Sequence[Address] = ()
    stopped: bool = False
    """A refusal came before the dot: nothing was sent, and what is refused must be found anew."""

    def may_finish(self) -> bool:
        """Whether content and final dot may be written now."""
        book = self._book
        if book is not None and book.changes.number != self._since:
            hashes = {digest for address in self._addresses for digest in book.hasher.all_of(address)}
            self.stopped = self.stopped or book.changes.touched(self._since, hashes)
        return not self.stopped


class Refusals:
    """Asks the book; without one nobody is under a refusal."""

    def __init__(self, book: SuppressionBook | None, settler: Settler) -> None:
        self._book = book
        self._settler = settler

    async def depart(self, parcel: Parcel) -> Departure:
        """Settle what is suppressed, and let the rest go. Raises SpoolUnavailableError."""
        book = self._book
        if book is None or parcel.door is Door.NOTICE:
            return Departure(parcel)  # whoever handed mail in is told of its failure, whatever he refused
        # Taken before the look: what is refused during it counts as refused after it.
        since = book.changes.number
        addresses = [duty.recipient.address for duty in parcel.duties]
        stops = await stops_for(book, parcel.tenant, parcel.stream, addresses)
        for n, mark in stops.items():
            self._suppress(parcel, n, mark)
        left = without(parcel, stops) if stops else parcel
        return Departure(left, book, since, addresses)

    def _suppress(self, parcel: Parcel, n: int, mark: Mark) -> None:
        duty = parcel.duties[n]
        _log.info("suppressed", id=parcel.id, n=duty.n, reason=mark.reason.value)
        self._settler.add(Settlement(duty.seq, duty.n, State.SUPPRESSED, event=EventKind.SUPPRESSED, detail=told(mark)))


async def stops_for(book: SuppressionBook, tenant: int, stream: str, addresses: Sequence[Address]) -> dict[int, Mark]:
    """What stops mail, by place in `addresses`; asks the database only about those that may be refused."""
    if all(map(book.surely_free, addresses)):
        return {}
    return await book.find(tenant, stream, addresses)


def told(mark: Mark) -> dict[str, Any]:
    """What the event `suppressed` says: the reason, and since when and how far it holds."""
    detail: dict[str, Any] = {"reason": mark.reason.value, "since": mark.since.isoformat(timespec="seconds")}
    if mark.until is not None:
        detail["until"] = mark.until.isoformat(timespec="seconds")
    if mark.stream:
        detail["stream"] = mark.stream
    if not mark.tenant:
        detail["everywhere"] = True
    return detail


def without(parcel: Parcel, places: dict[int, Mark]) -> Parcel | None:
    """The parcel without the duties at these places, None when none is left."""
    duties = tuple(duty for n, duty in enumerate(parcel.duties) if n not in places)
    if not duties:
        return None
    recipients = tuple(duty.recipient for duty in duties)
    return replace(parcel, duties=duties, envelope=replace(parcel.envelope, recipients=recipients))
