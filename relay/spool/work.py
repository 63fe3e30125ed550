"""What goes through the spool: a message as it is accepted, parcels as they are claimed, results that settle them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NewType

from relay.event import EventKind
from relay.ids import SpoolId
from relay.mail.address import ReversePath
from relay.mail.body_hash import BodyHash
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
    kept: timedelta = timedelta(days=1)
    """For how long the key stands for its message; at least a day."""

    def counted_from(self, accepted_at: datetime) -> datetime:
        """The moment from which a day is counted."""
        return accepted_at + self.kept - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StoredBody:
    """A large body whose pieces are in the spool already, under the number that its message will bear."""

    seq: int
    pieces: int
    octets: int
    body_hash: BodyHash
    """For DKIM; of no use while `eight_bit`, for such a body is converted before it is signed."""
    eight_bit: bool = False


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Content that is read piece by piece: the first one, and where the others begin."""

    seq: int
    size: int
    """Octets of the whole."""
    first: bytes
    piece: int
    """The number of the first piece: the next one is that after it."""
    ends_line: bool
    """Whether the last line has its end."""


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
    unnamed: bool = False
    """Whether events tell nobody its recipients: no webhook, no journal, and no suppression follows."""
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
    body: StoredBody | None = None
    """Not None: `content` is the header and the empty line, and this is what follows."""
    copies_body: bool = False
    """The body stays another message's too: its pieces are copied."""

    @property
    def number(self) -> int | None:
        """The number it must bear, because its body lies under it; None: any."""
        return None if self.body is None or self.copies_body else self.body.seq

    @property
    def size(self) -> int:
        """Octets of header and body."""
        return len(self.content) + (0 if self.body is None else self.body.octets)


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
class Warmth:
    """The warm-up that a delivery left by (row 0: by none), or waits for, if a departure was `promised` to it."""

    row: int
    promised: datetime | None = None


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
    source: str = ""
    """The egress source that a host last answered through: it returns from there."""
    warmth: Warmth | None = None


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
    source: str = ""
    """The egress source that a host answered through; "" leaves what is known as it was."""
    warmth: Warmth | None = None
    """The warm-up it left by or waits for; None leaves what is known as it was."""
