"""The contract of a spool; what goes in and comes out is in `work`, `inquiry`, `orders` and `life` beside it.

Two workers on SQLite and forty nodes on PostgreSQL cooperate in one way only: leases taken here. Every
method is one transaction; every method may raise `SpoolUnavailableError`, after which the caller answers
4xx or tries again, and nothing is lost. All times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from relay.event.feed import EventFilter, EventPage, FeedEvent, Position
from relay.ids import SpoolId
from relay.spool.inquiry import DeliveryView, LaneFigures, MessageFilter, MessageView, QueueFilter, SearchPage
from relay.spool.life import UNBOUNDED, Life, Pulse, Terms
from relay.spool.orders import Alarm, RequestReceipt, Suspension, Verb
from relay.spool.tags import TagHour
from relay.spool.work import Incarnation, NewMessage, Parcel, Receipt, Settlement, StoredContent


class Spool(Protocol):
    """The durable queue. One implementation a database; tests/contract runs every one."""

    async def migrate(self) -> list[str]:
        """Bring the schema up to this program's; the migrations applied. Raises SchemaError."""
        ...

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, at most a few times a second, when another process may have left due work.

        A spool that cannot know of others never calls it, and a call may be lost: whoever waits also looks by himself.
        """
        ...

    def on_ended(self, ended: Callable[[], None]) -> None:
        """Have `ended` called when lives were ended by others: ours may be one. A call may be lost."""
        ...

    async def register(self, node: str, worker: int, terms: Terms = Terms()) -> Incarnation:  # noqa: B008 - a value
        """Begin a life: void the leases of the earlier incarnation of the same node and worker, return ours.

        An earlier life that did not retire has died, as `terms.fell` says: that counts as a broken try for what it
        held, and holds what has been counted often enough (`relay.policy.quarantine`).
        """
        ...

    async def heartbeat(self, incarnation: Incarnation) -> Pulse:
        """Say that we live. A life that goes on also ends those that were silent for the time of their lease."""
        ...

    async def living(self) -> list[Life]:
        """Every life that was not ended, oldest first: alike for all who ask between two changes of it.

        One that vanished with its machine is in it until the others have missed it for long enough to end it.
        """
        ...

    async def retire(self, incarnation: Incarnation) -> None:
        """End a life in good order: what it still holds goes back to its lanes, and it is leased nothing more."""
        ...

    async def accept(self, message: NewMessage) -> Receipt:
        """Commit a message with an fsync. Raises IdempotencyConflictError, SpoolFullError."""
        ...

    async def accept_together(self, messages: Sequence[NewMessage]) -> list[Receipt]:
        """Commit several messages in one transaction, all or none. Raises as `accept` does."""
        ...

    async def store_piece(self, owner: Incarnation, seq: int | None, piece: int, data: bytes) -> int:
        """Commit piece number `piece` (from 0) of a large body; the number that its message will bear.

        `seq` None begins a body, which belongs to `owner` until `accept` takes it. Raises SpoolFullError.
        """
        ...

    async def give_up_body(self, seq: int) -> None:
        """Nobody will accept this body: it is removed. Nothing happens to one that was accepted."""
        ...

    async def remove_orphan(self, limit: int) -> bool:
        """Delete up to `limit` pieces of a body that was given up or whose owner's life ended; False if there is none.

        A body is owned until `accept`, which fails with SpoolUnavailableError for one that was removed.
        """
        ...

    async def claim(
        self,
        incarnation: Incarnation,
        limit: int,
        skip: frozenset[str] = frozenset(),
        most: Mapping[str, int] = UNBOUNDED,
    ) -> list[Parcel]:
        """Lease up to `limit` due deliveries, fair between tenants and domains.

        None of the domains in `skip`, and of each lane of a domain in `most` at most so many.
        """
        ...

    async def next_due(self) -> datetime | None:
        """The earliest due time of any WAITING delivery (a lower bound), None when nothing waits."""
        ...

    async def last_written(self) -> datetime | None:
        """When the newest event was written, by the clock of then; None before the first."""
        ...

    async def last_alive(self) -> datetime | None:
        """When anybody last said that he lives, by the clock of then (on PostgreSQL the server's); None before."""
        ...

    async def mend_dues(self, waits: Sequence[timedelta]) -> int:
        """After the clock went back: no due time lies further ahead than its wait; the number mended.

        `waits` are the longest after the first attempt, the second and so on, the last one repeating. Safe to repeat.
        """
        ...

    async def leased(self, incarnation: Incarnation) -> list[tuple[int, int, datetime]]:
        """What an incarnation holds: (seq, n, due) of each delivery leased to it."""
        ...

    async def content(self, seq: int) -> bytes:
        """The content of a message; KeyError when it was forgotten or is torn."""
        ...

    async def open_content(self, seq: int) -> StoredContent:
        """The first piece of a content, the others to be read with `next_piece`; KeyError when forgotten or torn."""
        ...

    async def next_piece(self, seq: int, after: int) -> tuple[int, bytes] | None:
        """The piece of a content that follows a piece, with its number; None after the last."""
        ...

    async def original(self, seq: int) -> bytes:
        """What a report returns of a message: its prelude and the beginning of its content, at least 256 KiB of it.

        Empty when it was forgotten or is torn.
        """
        ...

    async def note_begun(self, seq: int, numbers: Sequence[int]) -> None:
        """Note that the handling of these leased deliveries, which are suspects, begins now."""
        ...

    async def set_prelude(self, seq: int, prelude: bytes) -> bytes:
        """Write the prelude if none is there yet; the one that stands is returned."""
        ...

    async def settle(self, incarnation: Incarnation, settlements: Sequence[Settlement]) -> int:
        """Apply settlements whose lease is still ours; the number applied.

        One that is repeated, because its commit had been reported failed and was kept, counts and changes nothing.
        A result that comes too late is recorded as an `attempted` event and changes no state.
        """
        ...

    async def message(self, message: SpoolId, tenant: int | None = None) -> MessageView | None:
        """The life of a message, None if unknown (or another tenant's)."""
        ...

    async def search(self, where: MessageFilter) -> SearchPage:
        """Messages that fit everything given, the newest first, in pages of bounded cost."""
        ...

    async def tags(self, tenant: int) -> list[str]:
        """The tags that a tenant's mail ever had, by name; a bounded number."""
        ...

    async def has_tag(self, tenant: int, tag: str) -> bool:
        """Whether mail of a tenant ever had this tag."""
        ...

    async def tag_hours(self, tenant: int, tags: Sequence[str], since: datetime) -> list[TagHour]:
        """What happened to the newest mail of these tags, hour by hour for each, since the hour of a moment."""
        ...

    async def events(self, where: EventFilter) -> EventPage:
        """The events after a position, in the order of their commits: who follows the cursors sees each once."""
        ...

    async def last_event(self) -> Position:
        """The newest position of the stream of events."""
        ...

    async def events_named(self, seqs: Sequence[int], tenant: int) -> list[FeedEvent]:
        """A tenant's events by their numbers, in order; unknown ones are left out."""
        ...

    async def deliveries(self, where: QueueFilter) -> list[DeliveryView]:
        """Deliveries that match, oldest first."""
        ...

    async def signed_before(self, domain: str | None, moment: datetime) -> int:
        """How many unfinished messages, accepted before a moment, may carry a signature of a domain (None: of any)."""
        ...

    async def lanes(self) -> list[LaneFigures]:
        """The queue by tenant and domain, only lanes with unfinished deliveries."""
        ...

    async def count(self, where: QueueFilter) -> int:
        """How many deliveries a filter means: the preview of a request."""
        ...

    async def ask(self, verb: Verb, where: QueueFilter, reason: str, window: timedelta) -> RequestReceipt:
        """Hold, release, retry, cancel or bounce matching deliveries, in one transaction.

        Until `window` is over a cancel or bounce is a hold that `undo` takes back. A delivery that a worker
        holds is asked: if its attempt succeeds or is refused for good, that stands (R17).
        """
        ...

    async def undo(self, request: int) -> int:
        """Put the deliveries of a request back as they were, where nothing final happened; the number put back."""
        ...

    async def reschedule(self, seq: int, send_at: datetime) -> bool:
        """Let a message that its sender scheduled leave at another time; False if it does not wait for one any more.

        It lives as long from then on as it did before. Raises SpoolUnavailableError.
        """
        ...

    async def finish_requests(self) -> int:
        """Make due cancels final and hand due bounces to the scheduler; the number of requests finished."""
        ...

    async def suspend(self, suspension: Suspension) -> int:
        """Stop a path (the `id` given is ignored); its number. Mail under way finishes its attempt."""
        ...

    async def resume(self, suspension: int) -> bool:
        """End a suspension; False if it had ended."""
        ...

    async def suspensions(self) -> list[Suspension]:
        """The suspensions in force."""
        ...

    async def note_site(self, tenant: int, domain: str, site: str) -> None:
        """Remember which site a domain's mail goes to."""
        ...

    async def raise_alarm(self, kind: str, subject: str, detail: str) -> bool:
        """Record a standing alarm; True if it is new."""
        ...

    async def clear_alarm(self, kind: str, subject: str) -> bool:
        """End a standing alarm; True if it stood."""
        ...

    async def alarms(self) -> list[Alarm]:
        """The standing alarms."""
        ...

    async def forget(self, before: datetime, limit: int) -> int:
        """Delete content of messages whose deliveries were all final before `before`; the number deleted."""
        ...

    async def ping(self) -> None:
        """Raise SpoolUnavailableError when the database cannot be reached, SpoolFullError when it has no room."""
        ...

    async def close(self) -> None:
        """Commit what is queued and let go of the database."""
        ...
