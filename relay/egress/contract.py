"""The contract of the sending side: a dialer gives sessions, a session carries transactions.

Neither raises for what a peer or a network does: those are outcomes. The engine runs against this contract,
so a simulation can put a network of its own behind it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.mail.address import ReversePath
from relay.mail.envelope import Recipient, Return
from relay.policy.outcome import Host, Outcome, TlsFacts
from relay.policy.route import Candidate
from relay.policy.way import Source
from relay.smtp.transcript import Transcript


class Tail(Protocol):
    """The rest of a large content, read while it is sent. Its octets are 7-bit: intake has made sure of that."""

    @property
    def ends_line(self) -> bool:
        """Whether the last line has its end."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """All of it, in order, from its beginning each time; may raise SpoolUnavailableError."""
        ...


@dataclass(frozen=True, slots=True)
class Transaction:
    """MAIL to final dot: one message to recipients of one site.

    `content` is what goes after DATA before dot-stuffing, in pieces (prelude, header and body), each with
    CRLF line ends only; `tail` is what follows of a large one, whose header lies in `content` whole; `size` is their
    sum in octets. `may_finish` is asked right before content and final dot
    are written: False (the lease was lost) abandons the transaction with nothing delivered.
    """

    reverse_path: ReversePath
    recipients: tuple[Recipient, ...]
    content: Sequence[bytes]
    size: int
    may_finish: Callable[[], bool]
    smtputf8: bool = False
    ret: Return | None = None
    envid: str | None = None
    tail: Tail | None = None


class StaleSessionError(Exception):
    """A reused session was found closed before the transaction began: reconnect; it is no attempt."""


class Session(Protocol):
    """An SMTP session after EHLO (and STARTTLS where offered)."""

    @property
    def host(self) -> Host:
        """Whom we talk to."""
        ...

    @property
    def candidate(self) -> Candidate:
        """What it was opened for: it may carry mail only for plans that hold this very candidate."""
        ...

    @property
    def tls(self) -> TlsFacts | None:
        """What the session's TLS is; None in clear."""
        ...

    @property
    def usable(self) -> bool:
        """Whether another transaction may be tried on it."""
        ...

    @property
    def transactions(self) -> int:
        """How many transactions it has carried."""
        ...

    async def send(self, transaction: Transaction, transcript: Transcript) -> tuple[Outcome, ...]:
        """Carry one transaction: an outcome a recipient, in order.

        Raises StaleSessionError, and what reading the tail raises: nothing was delivered then.
        """
        ...

    async def quit(self) -> None:
        """QUIT with a short time-out, then close; never raises."""
        ...

    def abort(self) -> None:
        """Close at once without QUIT."""
        ...


class Dialer(Protocol):
    """Opens sessions."""

    async def dial(self, candidate: Candidate, source: Source, transcript: Transcript) -> Session | Outcome:
        """A session ready for MAIL, or the outcome (scope HOST or SOURCE) that kept us from one."""
        ...
