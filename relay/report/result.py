"""What a message that came back says, as values: the answer of `relay.report.reading.read_report`.

Only what the message itself claims stands here. Whether it is believed is decided by whoever matches it to a
delivery (by the return token it was addressed to, never by these addresses alone: S22).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a message is."""

    BOUNCE = "bounce"
    """A delivery report: each recipient's `action` says which, and only a failed one is a bounce."""
    COMPLAINT = "complaint"
    """A feedback report (RFC 5965): somebody called the mail unwanted."""
    AUTO_REPLY = "auto-reply"
    """A program answered in a person's name: vacation, receipt, confirmation."""
    REPORT = "report"
    """An aggregate report of DMARC (RFC 9990) or TLS (RFC 8460)."""
    CHALLENGE = "challenge"
    """The mail waits until its sender proves to be a person."""
    OTHER = "other"
    """Anything else: a person, a list, an advertisement."""


class Said(StrEnum):
    """What the report says was done about a recipient (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    COMPLAINED = "complained"
    """Not a word of RFC 3464: the recipient of a complaint."""


class Means(StrEnum):
    """Which reader understood the message."""

    STATUS = "delivery-status"
    """The machine-readable part of RFC 3464."""
    TEXT = "text"
    """Our own readers of what programs write for people."""
    SECOND = "second-reader"
    """flufl.bounce, where our own readers found nobody."""
    FEEDBACK = "feedback-report"
    HEADER = "header"
    """The header fields alone."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient the message speaks of."""

    address: str
    """As the report writes it; for a DSN the Original-Recipient where one is given (that is whom we sent to)."""
    action: Said
    status: str = ""
    """Enhanced code "5.1.1", or "" when nothing gives one."""
    reason: str = ""
    """A reason of `config/bounces.toml`; for a complaint its Feedback-Type."""
    permanent: bool = False
    """Failed, and trying again later would not help."""
    rule: str = ""
    """Id of the rule that gave the reason."""
    scope: str = ""
    """How far the reason reaches: recipient, message, host, site or source."""
    diagnostic: str = ""
    """The words of whoever refused, in one line."""
    remote_mta: str = ""
    code: int | None = None
    """Reply code of SMTP in the diagnostic."""
    final_address: str = ""
    """Where the mail ended up, if it was forwarded to another address."""

    @property
    def failed(self) -> bool:
        """Whether this recipient will not get the mail: the only action that counts against an address (G13)."""
        return self.action is Said.FAILED


@dataclass(frozen=True, slots=True)
class Original:
    """The header of the mail that came back, whole or in part; all of it unproven."""

    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Lower-case names and unfolded values, in order."""

    def first(self, name: str) -> str:
        """The first value of that lower-case name, or ""."""
        return next((value for key, value in self.fields if key == name), "")

    @property
    def message_id(self) -> str:
        """Message-ID with its angle brackets, or ""."""
        return self.first("message-id").strip()


@dataclass(frozen=True, slots=True)
class Document:
    """An aggregate report's payload, unpacked within limits."""

    form: str
    """"dmarc" or "tls-rpt"."""
    domain: str
    """The domain it reports about, as its Subject or file name says; may be ""."""
    content: bytes = field(repr=False)
    """XML or JSON; empty when it could not be unpacked within the limits (S30)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one message says."""

    kind: Kind
    recipients: tuple[Recipient, ...] = ()
    means: Means = Means.NONE
    reporting_mta: str = ""
    envid: str = ""
    """Original-Envelope-Id of the report (RFC 3464 §2.2.1)."""
    original: Original = Original()
    addressed_to: tuple[str, ...] = ()
    """Where the report itself was sent, by its header: candidates for a return token."""
    returned_to: tuple[str, ...] = ()
    """Reverse-paths named by the returned original: further candidates."""
    feedback_type: str = ""
    reported_domain: str = ""
    source_ip: str = ""
    document: Document | None = None
    detail: str = ""
    """Which sign decided, for a person who asks why."""

    @property
    def message_id(self) -> str:
        """Message-ID of the mail that came back, or ""."""
        return self.original.message_id


NOTHING: Final = Reading(Kind.OTHER)
