"""The contract of a spool, and the values that go in and come out.

Two workers on SQLite and forty nodes on PostgreSQL cooperate in one way only: leases taken here. Every
method is one transaction; every method may raise `SpoolUnavailableError`, after which the caller answers
4xx or tries again, and nothing is lost. All times are aware UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, Final, NewType, Protocol

from relay.event import EventKind
from relay.event.feed import EventFilter, EventPage, FeedEvent, Position
from relay.ids import SpoolId
from relay.mail.address import ReversePath
from relay.mail.envelope import Envelope, Recipient
from relay.policy.outcome import Outcome
from relay.policy.quarantine import Care, care
from relay.policy.state import State
from relay.smtp.transcript import Exchange

Incarnation = NewType("Incarnation", int)
"""One life of one worker; leases name it, so a worker that was replaced can no longer settle."""


LEASE: Final = timedelta(seconds=60)
"""For how long a life may be silent before others take over what it holds, unless it said otherwise."""


class Door(StrEnum):
    """How a message came in."""

    SMTP = "smtp"
    HTTP = "http"
    WEB = "web"
    NOTICE = "notice"
    """Written by the relay itself: a DSN."""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A client's key and the digest of what it was sent with; the same key with another digest is a conflict."""

    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What accept commits: the message, its deliveries, the `accepted` event.

    `prelude` is None when the message may not leave at once: it is then written when it first gets a permit.
    `initial` gives a delivery's state by its number, WAITING where absent; SUPPRESSED and HELD are allowed.
    """

    id: SpoolId
    tenant: int
    credential: int | None
    door: Door
    envelope: Envelope
    content: bytes
    prelude: bytes | None
    accepted_at: datetime
    expires_at: datetime
    due: datetime
    stream: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    received: bytes = b""
    """The fields that stand above the content unsigned, Received first, CRLF ended; empty for the web's."""
    sign_as: str | None = None
    """The signing domain, None to leave unsigned."""
    initial: Mapping[int, State] = field(default_factory=dict)
    details: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    """Why a delivery is accepted SUPPRESSED, for its event."""
    hold_reason: str = ""
    idempotency: Idempotency | None = None
    scheduled: bool = False
    """Whether `due` is the sender's wish, which no mending of the clock may bring forward."""
    lease_to: Incarnation | None = None
    """Whom to lease the WAITING deliveries to in the same commit (the fast path); granted lane by lane."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer of accept. `leased` are the numbers of deliveries granted to the fast path."""

    id: SpoolId
    seq: int
    leased: frozenset[int]
    duplicate: bool = False
    """True when the idempotency key had been used with the same digest: `id` is then the earlier message."""


class IdempotencyConflictError(Exception):
    """The idempotency key was used before with other content (HTTP 409)."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A leased delivery: everything an attempt needs but the content. `seq` and `n` name it in the spool."""

    seq: int
    n: int
    message: SpoolId
    tenant: int
    recipient: Recipient
    attempts: int
    due: datetime
    bounce: str = ""
    """Not empty: an operator asked for a bounce with this reason; no attempt is made."""
    broken: int = 0
    """Tries in a row that broke on our side (`relay.policy.quarantine`)."""
    delay_told: bool = False
    """Its sender was told that it is delayed."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message with the duties of it that were leased together (one lane)."""

    seq: int
    id: SpoolId
    tenant: int
    door: Door
    reverse_path: ReversePath
    envelope: Envelope
    """Its `recipients` are those of `duties`, in the same order."""
    duties: tuple[Duty, ...]
    size: int
    prelude: bytes | None
    received: bytes
    sign_as: str | None
    accepted_at: datetime
    expires_at: datetime
    stream: str
    content: bytes | None = None
    """Present on the fast path; otherwise read with `Spool.content` when a session is ready for it."""

    @property
    def care(self) -> Care:
        """How carefully it is handled, by the worst of its duties."""
        return care(max(duty.broken for duty in self.duties))


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One try on one host, as kept: `reply` has recipient addresses replaced by `<recipient>`."""

    number: int
    at: datetime
    outcome: Outcome
    source: str
    duration_ms: int
    transcript: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of one leased delivery: its next state, what to tell, and the attempt if there was one.

    `due` is set exactly when `state` is WAITING. `attempt` None with WAITING gives a lease back unused.
    """

    seq: int
    n: int
    state: State
    due: datetime | None = None
    event: EventKind | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    attempt: AttemptRecord | None = None
    notice: NewMessage | None = None
    """A DSN accepted in the same transaction."""
    delay_told: bool = False
    """The notice tells of its delay: it is told once."""
    broken: bool = False
    """The try broke on our side: it is counted, and with HELD the alarm `quarantine` is raised with it."""


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """A lane, tenant × next-hop domain, as the queue shows it."""

    tenant: str
    domain: str
    waiting: int
    leased: int
    held: int
    oldest: datetime | None
    next_due: datetime | None
    site: str = ""
    """Where its mail last went; empty before the first look-up."""


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as shown to people and programs; `recipient` is None once its address was erased."""

    message: SpoolId
    n: int
    recipient: str | None
    domain: str
    state: State
    attempts: int
    due: datetime | None
    initial: State
    """The state it was accepted with; an idempotent repetition answers this one."""
    site: str = ""
    """Where its domain's mail goes, as last seen; empty while that is not known."""


@dataclass(frozen=True, slots=True)
class EventView:
    """An event as shown; `n` is None for what concerns the whole message."""

    cursor: int
    at: datetime
    message: SpoolId
    n: int | None
    kind: EventKind
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptView:
    """An attempt as shown; the fields are those of docs/reference/events.md."""

    n: int
    number: int
    at: datetime
    detail: Mapping[str, Any]
    transcript: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class MessageView:
    """The whole life of a message."""

    id: SpoolId
    tenant: str
    tenant_id: int
    door: Door
    stream: str
    reverse_path: str
    """Empty for the null path."""
    size: int
    accepted_at: datetime
    expires_at: datetime
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    deliveries: tuple[DeliveryView, ...]
    attempts: tuple[AttemptView, ...]
    events: tuple[EventView, ...]
    send_at: datetime | None = None
    """Not sent before this time, by its sender's wish."""


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which deliveries a queue command means; empty fields do not restrict."""

    domain: str = ""
    tenant: str = ""
    sender: str = ""
    recipient: str = ""
    message: SpoolId | None = None
    older_than: datetime | None = None
    site: str = ""
    states: tuple[State, ...] = (State.WAITING, State.LEASED, State.HELD)
    limit: int = 100


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages of a tenant are looked for; empty fields do not restrict. `cursor` is that of the page before."""

    tenant: int
    recipient: str = ""
    sender: str = ""
    tag: str = ""
    stream: str = ""
    state: State | None = None
    """One of its deliveries is in this state."""
    after: datetime | None = None
    before: datetime | None = None
    cursor: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class FoundDelivery:
    """A delivery of a message that was found."""

    n: int
    recipient: str | None
    state: State


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message that was found, with its first deliveries; `unfinished` counts all that are owed still."""

    id: SpoolId
    accepted_at: datetime
    reverse_path: str
    stream: str
    tags: tuple[str, ...]
    size: int
    unfinished: int
    deliveries: tuple[FoundDelivery, ...]


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Messages, the newest first; `cursor` is where to go on, None at the end."""

    messages: tuple[FoundMessage, ...]
    cursor: int | None


class Verb(StrEnum):
    """What an operator or a sender may ask for deliveries that are not final."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    CANCEL = "cancel"
    BOUNCE = "bounce"


@dataclass(frozen=True, slots=True)
class RequestReceipt:
    """What a request did: `changed` deliveries at once; `under_way` are held by workers, and settle decides.

    `id` undoes it (None when nothing matched); a cancel or bounce becomes final at `final_at`.
    """

    id: int | None
    changed: int
    under_way: int
    final_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Suspension:
    """A stopped path: empty fields mean every tenant, domain or site."""

    id: int
    tenant: str
    domain: str
    site: str
    until: datetime
    reason: str

    def stops(self, tenant: str, delivery: DeliveryView) -> bool:
        """Whether a delivery of the tenant falls under it."""
        return self.tenant in ("", tenant) and self.domain in ("", delivery.domain) and self.site in ("", delivery.site)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A standing alarm: one row per (kind, subject) until it is cleared."""

    kind: str
    subject: str
    since: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Life:
    """One life of one worker that was not ended; `started` is told by the worker's own clock."""

    incarnation: Incarnation
    node: str
    worker: int
    started: datetime
    place: str
    """Machine and process, for people; empty if it did not say."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a life says of itself when it begins: for how long it may be silent, and where it runs."""

    lease: timedelta = LEASE
    place: str = ""


class Ending(Enum):
    """Why a life was ended that thought it lived."""

    REPLACED = "replaced"
    """A newer one of the same node and worker has begun, and lives."""
    MISSED = "missed"
    """Others had not heard of it for the time of its lease; nobody took its name."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """The answer to a heartbeat: why our life was ended, None if it goes on."""

    ending: Ending | None = None
    by: str = ""
    """The place of the one that replaced us."""
    look_in: float | None = None
    """Seconds until some other life will have been silent for too long, if nothing is heard of it."""


UNBOUNDED: Final[Mapping[str, int]] = {}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a claim asks for: up to `limit` deliveries, none of the domains in `skip`.

    Of each lane of a domain in `most`, at most so many: its path has no use for more now.
    """

    limit: int
    skip: frozenset[str] = frozenset()
    most: Mapping[str, int] = field(default_factory=dict)

    def quotas(self, share: int, domains: Sequence[str]) -> list[int]:
        """How `share` deliveries are divided among lanes of these domains: evenly, surplus to others."""
        caps = [min(self.most.get(domain, share), share) for domain in domains]
        given = [0] * len(caps)
        hungry = [i for i, cap in enumerate(caps) if cap]
        left = share
        while left and hungry:
            each, more = divmod(left, len(hungry))
            for position, i in enumerate(hungry):
                portion = min(each + (position < more), caps[i] - given[i])
                given[i] += portion
                left -= portion
            hungry = [i for i in hungry if given[i] < caps[i]]
        return given


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

    async def register(self, node: str, worker: int, terms: Terms = Terms()) -> Incarnation:
        """Begin a life: void the leases of the earlier incarnation of the same node and worker, return ours.

        An earlier life that did not retire has died: that counts as a broken try for what it held
        (`relay.policy.quarantine`), and holds what has been counted `TRIES` times.
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
