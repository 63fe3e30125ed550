"""What every door hands to intake, and what intake answers.

A door knows its protocol and decides nothing about mail: it makes a `Submission` and translates the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from relay.account.identity import Identity
from relay.engine.incoming import IncomingContent
from relay.ids import SpoolId
from relay.mail.envelope import Envelope
from relay.policy.state import State
from relay.smtp.reply import Reply
from relay.spool.work import Door, Idempotency, StoredBody


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a submission came from, for its Received field; None of it exists for the web's letters.

    `protocol` is the `with` word of RFC 3848 and RFC 6531 §4.3: ESMTP, ESMTPS, ESMTPSA, UTF8SMTPSA, HTTP, HTTPS.
    """

    address: str
    name: str
    """The EHLO argument, or empty."""
    protocol: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A message on its way in: envelope, raw content with CRLF line ends, who sends it, and its labels."""

    door: Door
    identity: Identity
    envelope: Envelope
    content: bytes
    origin: Origin | None = None
    stream: str = ""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    unnamed: bool = False
    """Whether events tell nobody its recipients."""
    send_at: datetime | None = None
    expires_at: datetime | None = None
    """When it is given up, if that is before the relay's own end."""
    idempotency: Idempotency | None = None
    unsubscribe: bool | None = None
    """Whether to offer one-click unsubscribe; None: as the stream's setting says."""
    replies_as: str | None = None
    """The name before a reply address of its own, which one recipient gets; None: there is no such address."""
    body: StoredBody | None = None
    """Of large content the body, stored while it came in; `content` is then the header with the empty line."""

    @property
    def size(self) -> int:
        """Octets of header and body."""
        return len(self.content) + (0 if self.body is None else self.body.octets)


@dataclass(frozen=True, slots=True)
class AcceptedDelivery:
    """One recipient of an accepted message, in envelope order."""

    address: str
    n: int
    state: State
    message: SpoolId | None = None
    """The message of its own, where each recipient of the submission got one."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The promise: the message is committed."""

    id: SpoolId
    deliveries: tuple[AcceptedDelivery, ...]
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a submission is not taken; `reply` is what SMTP says, `field` the HTTP field it concerns ("" = none)."""

    reply: Reply
    field: str = ""
    conflict: bool = False
    """An idempotency key was used before with other content."""


class Intake(Protocol):
    """The one way in. Implemented by `relay.engine.intake.Intake`."""

    async def submit(self, submission: Submission) -> Accepted | Refusal:
        """Check, sign and commit. Never raises for bad mail or an unavailable spool: those are refusals."""
        ...

    def may_send_from(self, identity: Identity, envelope_sender: str) -> Refusal | None:
        """An early answer for MAIL FROM: None if `identity` may use that sender ("" = the null path)."""
        ...

    def receive(self) -> IncomingContent | None:
        """Where a door writes content above `LARGE` octets while it reads it; None: it is handed in whole."""
        ...

    def has_room(self, size: int) -> Refusal | None:
        """An early answer for SIZE: None if a message of `size` bytes could be taken now."""
        ...
