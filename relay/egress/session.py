"""An SMTP session ready for MAIL, reused for message after message until somebody ends it.

Stands between the engine's dispatcher, which pools sessions, and the wire. Implements
`relay.egress.contract.Session`: whatever the peer or the network does comes back as outcomes.
"""

from __future__ import annotations

from aiosmtplib import SMTPException

from relay import metrics
from relay.clock import Clock
from relay.egress import outcomes
from relay.egress.contract import StaleSessionError, Transaction
from relay.egress.dialogue import Dialogue
from relay.egress.masking import RecipientMask
from relay.egress.needs import lack, needs_of
from relay.egress.opening import Opened
from relay.egress.outcomes import SessionBrokenError
from relay.egress.protocol import PipelinedProtocol
from relay.egress.timeouts import Timeouts
from relay.egress.transaction import Peer, TransactionRun
from relay.policy.outcome import Host, Outcome, Phase, TlsFacts
from relay.policy.route import Candidate
from relay.smtp.transcript import Transcript


class SmtpSession:
    """One connection after EHLO (and STARTTLS, and AUTH), opened for `candidate`."""

    def __init__(
        self,
        line: PipelinedProtocol,
        candidate: Candidate,
        opened: Opened,
        timeouts: Timeouts,
        clock: Clock,
    ) -> None:
        self._line = line
        self._candidate = candidate
        self._host = Host(candidate.exchanger, candidate.address)
        self._opened = opened
        self._timeouts = timeouts
        self._clock = clock
        self._peer = Peer(self._host, opened.capabilities, opened.tls, timeouts)
        self._dirty = False
        self._open = True
        self._transactions = 0
        metrics.sessions.inc()

    @property
    def host(self) -> Host:
        return self._host

    @property
    def candidate(self) -> Candidate:
        return self._candidate

    @property
    def tls(self) -> TlsFacts | None:
        return self._opened.tls if self._opened.tls.protocol else None

    @property
    def usable(self) -> bool:
        return self._open and self._line.healthy

    @property
    def transactions(self) -> int:
        return self._transactions

    async def send(self, transaction: Transaction, transcript: Transcript) -> tuple[Outcome, ...]:
        """Carry one message; see the contract. Recipients over a host's limit follow in further transactions."""
        count = len(transaction.recipients)
        if not self.usable:
            if self._transactions:
                raise StaleSessionError
            return (outcomes.broken(SessionBrokenError(Phase.MAIL), self._host, self._opened.tls, sent=False),) * count
        offered = self._opened.capabilities
        needs = needs_of(transaction)
        missing = lack(transaction, needs, offered)
        if missing is not None:
            outcome = outcomes.unfit(missing.code, missing.status, missing.text, self._host, self._opened.tls)
            return (outcome,) * count
        mask = RecipientMask([recipient.address for recipient in transaction.recipients])
        dialogue = Dialogue(self._line, transcript, self._clock, mask)
        run = TransactionRun(dialogue, transaction, needs, self._peer, dirty=self._dirty)
        reused = self._transactions > 0
        self._transactions += 1
        try:
            results = await run.carry(reused=reused)
        except BaseException:
            # Stale, cancelled or broken: nobody knows any more where the dialogue stands.
            self.abort()
            raise
        self._dirty = run.dirty
        if not self._line.healthy:
            self._ended()
        return results

    async def quit(self) -> None:
        """QUIT, a short wait for its answer, and close; never raises but for cancellation (A20)."""
        try:
            if self.usable:
                self._line.send(b"QUIT\r\n", 1)
                await self._line.read_reply(self._timeouts.quit)
        except (SMTPException, OSError):
            pass
        finally:
            self._line.close()
            self._ended()

    def abort(self) -> None:
        """Close at once without QUIT."""
        self._line.abort()
        self._ended()

    def _ended(self) -> None:
        if self._open:
            self._open = False
            metrics.sessions.dec()
