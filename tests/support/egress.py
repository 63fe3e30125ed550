"""Short ways to dial a scripted far side and to hand a session a message."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import trustme

from relay.clock import SystemClock
from relay.egress.certificates import TrustAnchors, client_context
from relay.egress.contract import Session, Transaction
from relay.egress.dialer import SmtpDialer
from relay.egress.opening import TlsMeans
from relay.egress.timeouts import Timeouts
from relay.mail.address import NULL_PATH, Address, parse_address
from relay.mail.envelope import Recipient
from relay.policy.outcome import Outcome
from relay.policy.route import Candidate, Login
from relay.policy.tls import HostDemand, TlsDemand, operator_demand
from relay.policy.way import Source
from relay.smtp.transcript import Exchange, Transcript
from tests.support.scripted_smtp import ScriptedSmtp

SOURCE = Source("one", "", "out.example.org")
CLOCK = SystemClock()
CONTENT = b"From: ann@example.org\r\nSubject: hello\r\n\r\nA line.\r\n.dots\r\n"

# A handshake or a busy machine may take a while; only tests of time-outs shorten one of these.
PATIENT = Timeouts().scaled(0.05)


def anchors_of(authority: trustme.CA | None) -> TrustAnchors:
    """Trust in a test's authority, or in nobody."""
    from cryptography import x509

    return TrustAnchors([x509.load_pem_x509_certificate(authority.cert_pem.bytes())] if authority else [])


@dataclass
class Dialing:
    """A dialer for one far side; `transcript` is that of the last dial or send."""

    far: ScriptedSmtp
    timeouts: Timeouts = PATIENT
    demand: TlsDemand | HostDemand = TlsDemand.MAY
    login: Login | None = None
    authority: trustme.CA | None = None
    exchanger: str = "localhost"
    source: Source = SOURCE
    transcript: list[Exchange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dialer = SmtpDialer(
            TlsMeans(client_context(), anchors_of(self.authority)),
            timeouts=self.timeouts,
            clock=CLOCK,
        )

    @property
    def candidate(self) -> Candidate:
        """Whom it dials, and on what terms."""
        demand = self.demand if isinstance(self.demand, HostDemand) else operator_demand(self.demand)
        return Candidate(self.exchanger, self.far.host, self.far.port, demand, self.login)

    async def dial(self) -> Session | Outcome:
        """A session or why there is none."""
        transcript = Transcript(CLOCK.monotonic(), self.transcript)
        return await self.dialer.dial(self.candidate, self.source, transcript)

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """A session that must come about, and is closed at the end."""
        session = await self.dial()
        assert not isinstance(session, Outcome), session
        try:
            yield session
        finally:
            session.abort()

    async def refusal(self) -> Outcome:
        """The outcome of a dial that must fail."""
        outcome = await self.dial()
        if not isinstance(outcome, Outcome):
            outcome.abort()
            raise AssertionError("a session came about")
        return outcome

    async def deliver(self, session: Session, transaction: Transaction) -> tuple[Outcome, ...]:
        """What the session makes of `transaction`."""
        return await session.send(transaction, Transcript(CLOCK.monotonic(), self.transcript))

    def said(self) -> list[str]:
        """The transcript without its times."""
        return [f"{exchange.speaker}: {exchange.text}" for exchange in self.transcript]


def message(
    *recipients: str | Recipient,
    content: bytes | Sequence[bytes] = CONTENT,
    sender: str = "sender@example.org",
    may_finish: Callable[[], bool] = lambda: True,
    **options: Any,
) -> Transaction:
    """A transaction; recipients are addresses or whole `Recipient`s, sender "" is the null path."""
    pieces = (content,) if isinstance(content, bytes) else tuple(content)
    to = tuple(r if isinstance(r, Recipient) else Recipient(parse_address(r)) for r in recipients)
    path: Any = parse_address(sender) if sender else NULL_PATH
    return Transaction(
        path, to or (Recipient(Address("ann", "example.net")),), pieces, sum(map(len, pieces)), may_finish, **options
    )
