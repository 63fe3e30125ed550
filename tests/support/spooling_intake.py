"""An intake that commits to a real spool and checks nothing; what it was given is kept, a refusal can be ordered."""

from __future__ import annotations

from datetime import timedelta

from relay.account.identity import Identity
from relay.clock import Clock, to_millis
from relay.engine.incoming import Bodies, IncomingContent
from relay.engine.submission import Accepted, AcceptedDelivery, Refusal, Submission
from relay.ids import Entropy, new_spool_id
from relay.policy.state import State
from relay.smtp.reply import reply
from relay.spool.contract import Spool
from relay.spool.work import IdempotencyConflictError, Incarnation, NewMessage


class SpoolingIntake:
    """Implements `relay.engine.submission.Intake`. Set `refusal` or `failure` to have every submission refused."""

    def __init__(self, spool: Spool, clock: Clock, entropy: Entropy) -> None:
        self._spool = spool
        self._clock = clock
        self._entropy = entropy
        self.submissions: list[Submission] = []
        self.refusal: Refusal | None = None
        self.failure: Exception | None = None
        self.sender_refusal: Refusal | None = None
        self.life: Incarnation | None = None
        """Who owns large content on its way in; None: it is handed in whole."""
        self.limit = 1_000_000
        self.bodies = Bodies(spool, self._owner)

    def _owner(self) -> Incarnation:
        assert self.life is not None
        return self.life

    async def submit(self, submission: Submission) -> Accepted | Refusal:
        self.submissions.append(submission)
        if self.failure is not None:
            raise self.failure
        if self.refusal is not None:
            return self.refusal
        now = self._clock.now()
        due = max(now, submission.send_at or now)
        message = NewMessage(
            id=new_spool_id(to_millis(now), self._entropy),
            tenant=submission.identity.tenant,
            credential=submission.identity.id,
            door=submission.door,
            envelope=submission.envelope,
            content=submission.content,
            body=submission.body,
            prelude=b"",
            accepted_at=now,
            expires_at=now + timedelta(days=5),
            due=due,
            scheduled=due > now,
            stream=submission.stream,
            tags=submission.tags,
            metadata=submission.metadata,
            idempotency=submission.idempotency,
        )
        try:
            receipt = await self._spool.accept(message)
        except IdempotencyConflictError:
            refused = reply(550, "5.5.4", "this Idempotency-Key was used before with other content")
            return Refusal(refused, "Idempotency-Key", conflict=True)
        addresses = [str(recipient.address) for recipient in submission.envelope.recipients]
        deliveries = tuple(AcceptedDelivery(address, n, State.WAITING) for n, address in enumerate(addresses))
        return Accepted(receipt.id, deliveries, receipt.duplicate)

    def may_send_from(self, identity: Identity, envelope_sender: str) -> Refusal | None:
        return self.sender_refusal

    def receive(self) -> IncomingContent | None:
        return None if self.life is None else self.bodies.open()

    def has_room(self, size: int) -> Refusal | None:
        if size <= self.limit:
            return None
        return Refusal(reply(552, "5.3.4", f"the message exceeds {self.limit} octets"), "raw")
