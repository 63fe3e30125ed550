"""The documents of the HTTP API as pydantic models: what comes in is checked by them, /openapi.json is made of them.

Everything is strict: an unknown field, a number where a string belongs or a time without a zone is refused
with the field's name (S31). The parser itself refuses documents nested deeper than 200. Whatever is formatted
later has a length here: folding tens of megabytes would hold the interpreter for seconds.
"""

from __future__ import annotations

import binascii
import hashlib
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from relay.api.mailbox import Mailbox, parse_mailbox
from relay.api.words import Words
from relay.policy.explanation import Cause

MAX_HEADER_VALUE: Final = 64 * 1024
"""Characters of one header value."""
MAX_HEADERS: Final = 256 * 1024
"""Characters of all header names and values: past it the header is refused anyway, after seconds of folding."""
MAX_MAILBOX: Final = 2048
"""Characters of a display name and its address."""

_NO_LINE_ENDS = str.maketrans("", "", "\r\n")


def _decode(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("write the octets in base64, as a string")
    # A letter of 25 MB has 34 MB here: `b64decode` would copy them once more, and so would taking out nothing.
    text = value.translate(_NO_LINE_ENDS) if "\n" in value or "\r" in value else value
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise ValueError("this is not base64 (RFC 4648 §4)") from None


def _mailbox(value: object) -> Mailbox:
    if not isinstance(value, str):
        raise ValueError('write an address, as in "ann@example.org" or "Ann <ann@example.org>"')
    if len(value) > MAX_MAILBOX:
        raise ValueError(f"a name with its address has at most {MAX_MAILBOX} characters")
    return parse_mailbox(value)


def _bounded(headers: dict[str, str]) -> dict[str, str]:
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADERS:
        raise ValueError(f"the fields together have at most {MAX_HEADERS} characters")
    return headers


# The serialisers serve one purpose: the digest by which a repeated request is recognised.
Octets = Annotated[
    bytes,
    BeforeValidator(_decode),
    PlainSerializer(lambda value: hashlib.sha256(value).hexdigest(), return_type=str),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
MailboxText = Annotated[
    Mailbox,
    PlainValidator(_mailbox),
    PlainSerializer(lambda value: [value.name, str(value.address)], return_type=list[str]),
    WithJsonSchema(
        {"type": "string", "maxLength": MAX_MAILBOX, "examples": ["ann@example.org", "Ann <ann@example.org>"]}
    ),
]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[ -~]+$")]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]
HeaderValue = Annotated[str, StringConstraints(max_length=MAX_HEADER_VALUE)]
Headers = Annotated[dict[str, HeaderValue], Field(max_length=100), AfterValidator(_bounded)]


class StrictRequest(BaseModel):
    """What a caller posts: an unknown field or a value of another type is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AttachmentRequest(StrictRequest):
    """A file to send along."""

    filename: str = Field(min_length=1, max_length=255, description="The name shown to the recipient.")
    content_type: str = Field("application/octet-stream", max_length=255, description="A media type.")
    content: Octets = Field(description="The file's octets in base64.")


class MessageRequest(StrictRequest):
    """A message to send: composed from its fields, or `raw` as it is."""

    from_: MailboxText = Field(alias="from", description="Author and reverse-path.")
    to: list[MailboxText] = Field(default=[], max_length=10_000, description="Shown recipients.")
    cc: list[MailboxText] = Field(default=[], max_length=10_000, description="Shown as Cc.")
    bcc: list[MailboxText] = Field(default=[], max_length=10_000, description="In the envelope only.")
    reply_to: MailboxText | None = Field(None, description="Where answers go.")
    subject: str = Field("", max_length=2000)
    text: str | None = Field(None, description="The plain text body.")
    html: str | None = Field(None, description="The HTML body.")
    headers: Headers = Field(default={}, description="Further header fields.")
    attachments: list[AttachmentRequest] = Field(default=[], max_length=100)
    raw: Octets | None = Field(
        None, description="A whole message in base64, with CRLF line ends; excludes the composing fields."
    )
    tags: list[Tag] = Field(default=[], max_length=20, description="Labels to find messages by.")
    metadata: dict[MetadataKey, MetadataValue] = Field(default={}, max_length=50, description="Kept, never sent.")
    stream: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9._-]*$", description="The kind of mail it is.")
    unsubscribe: bool | None = Field(
        None, description="Offer one-click unsubscribe (RFC 8058); none: as the stream's setting says."
    )
    send_at: AwareDatetime | None = Field(
        None, description="Not before this time, with its zone; at most a year ahead."
    )
    expires_at: AwareDatetime | None = Field(
        None, description="Given up after this time, with its zone, unless the relay's own end comes first."
    )


class RecipientAccepted(BaseModel):
    """A recipient of a message that was just taken."""

    address: str
    delivery_id: str
    state: str


class MessageAccepted(BaseModel):
    """The promise: the message is committed to the spool."""

    id: str
    recipients: list[RecipientAccepted]


class Waits(BaseModel):
    """Why a waiting delivery has not left, until when at least, and what happens next."""

    cause: Cause
    until: datetime
    sentence: str


class RecipientLife(BaseModel):
    """Where the duty toward one recipient stands; `address` is null once it was erased."""

    address: str | None
    delivery_id: str
    state: str
    attempts: int
    next_due: datetime | None
    waits: Waits | None = None


class ExchangeLife(BaseModel):
    """One line of a transcript: milliseconds since the attempt began, "we", "they" or "net", and what was said."""

    millis: int
    speaker: str
    text: str


class AttemptLife(BaseModel):
    """One try on one host."""

    delivery_id: str
    number: int
    at: datetime
    detail: dict[str, Any]
    transcript: list[ExchangeLife]


class EventLife(BaseModel):
    """One fact; `delivery_id` is null when it concerns the whole message."""

    cursor: int
    at: datetime
    kind: str
    delivery_id: str | None
    detail: dict[str, Any]


class MessageLife(BaseModel):
    """The whole life of a message."""

    id: str
    created_at: datetime
    send_at: datetime | None
    expires_at: datetime
    stream: str
    tags: list[str]
    metadata: dict[str, str]
    size: int
    recipients: list[RecipientLife]
    attempts: list[AttemptLife]
    events: list[EventLife]


class LaneSummary(BaseModel):
    """What waits for one domain."""

    domain: str
    waiting: int
    leased: int
    held: int
    oldest: datetime | None
    next_due: datetime | None


class QueueSummary(BaseModel):
    """The caller's unfinished deliveries by domain, and their sums."""

    waiting: int
    leased: int
    held: int
    lanes: list[LaneSummary]


class QueueRequest(StrictRequest):
    """Which of the caller's deliveries are meant; every field given must fit."""

    domain: Words = Field("", max_length=255, description="The recipients' domain.")
    site: Words = Field("", max_length=255, description="Where their mail goes, as `leak queue` names it.")
    sender: Words = Field("", max_length=320, description="The envelope sender.")
    recipient: Words = Field("", max_length=320, description="The recipient's address.")
    older_than: float | None = Field(None, ge=0, le=1e9, description="Accepted longer ago than so many seconds.")
    all: bool = Field(False, description="Every delivery that is not final.")
    reason: Words = Field("", max_length=200, description="Why; kept in the history.")

    @property
    def names_something(self) -> bool:
        """Whether a field restricts, or all are meant."""
        return self.all or self.older_than is not None or any((self.domain, self.site, self.sender, self.recipient))


class QueueAnswer(BaseModel):
    """What a request did."""

    changed: int
    under_way: int = Field(description="Held by a worker: what the attempt gives comes first.")
    final_at: datetime | None = Field(description="When a cancel becomes final.")


class SuspendRequest(StrictRequest):
    """A path to stop."""

    domain: Words = Field("", max_length=255)
    site: Words = Field("", max_length=255)
    seconds: float = Field(3600, gt=0, le=2_592_000, description="How long.")
    reason: Words = Field("by its sender", max_length=200)


class SuspensionLife(BaseModel):
    """A suspension in force; empty domain and site mean all of the caller's mail."""

    id: int
    domain: str
    site: str
    until: datetime
    reason: str


class ResumeRequest(StrictRequest):
    """A suspension to end."""

    id: int


class ResumeAnswer(BaseModel):
    """Whether it was in force until now."""

    resumed: bool


class ProbeAnswer(BaseModel):
    """The node's answer to a probe."""

    state: str


class FieldErrorDocument(BaseModel):
    """One complaint about one field."""

    field: str
    detail: str


class ProblemDocument(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldErrorDocument] = []
    enhanced_code: str = ""
