"""The envelope: who a message comes from and whom it goes to, with the parameters SMTP gives them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag, StrEnum

from relay.mail.address import Address, ReversePath


class Notify(IntFlag):
    """NOTIFY of RFC 3461 §4.1: when the sender wants a DSN about this recipient."""

    NEVER = 0
    SUCCESS = 1
    FAILURE = 2
    DELAY = 4


DEFAULT_NOTIFY = Notify.FAILURE | Notify.DELAY
"""What a recipient without NOTIFY gets (RFC 3461 §4.1: failures at least; delays at our choice)."""


class Return(StrEnum):
    """RET of RFC 3461 §4.3: what of the message a DSN brings back."""

    FULL = "FULL"
    HEADERS = "HDRS"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT: the mailbox, and its DSN wishes as given (`notify` None = not given; `orcpt` decoded `type;text`)."""

    address: Address
    notify: Notify | None = None
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """MAIL FROM, recipients in order, and the message's parameters (RFC 5321, 3461, 6531)."""

    reverse_path: ReversePath
    recipients: tuple[Recipient, ...]
    smtputf8: bool = False
    ret: Return | None = None
    envid: str | None = field(default=None)
