"""A small intake and a small account book: real implementations of the doors' contracts, kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay.account.identity import Access, Identity
from relay.engine.submission import Accepted, AcceptedDelivery, Refusal, Submission
from relay.errors import SpoolUnavailableError
from relay.ids import SeededEntropy, SpoolId, new_spool_id
from relay.policy.state import State

ANN = Identity(tenant=1, tenant_name="leak", id=7, name="ann", senders=("leak.example",))
TRUSTED = Identity(tenant=1, tenant_name="leak", id=None, name="trusted network", senders=("*",))


class RecordingIntake:
    """Accepts everything and remembers it; each answer can be changed by setting a field."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []
        self.ids: list[SpoolId] = []
        self.refusal: Refusal | None = None
        self.sender_refusal: Callable[[Identity, str], Refusal | None] = lambda identity, sender: None
        self.room_refusal: Callable[[int], Refusal | None] = lambda size: None
        self.broken: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self._entropy = SeededEntropy(1)

    async def submit(self, submission: Submission) -> Accepted | Refusal:
        """Wait for the gate, then remember `submission`."""
        self.entered.set()
        await self.gate.wait()
        if self.broken is not None:
            raise self.broken
        if self.refusal is not None:
            return self.refusal
        spool_id = new_spool_id(1_800_000_000_000, self._entropy)
        self.submissions.append(submission)
        self.ids.append(spool_id)
        deliveries = tuple(
            AcceptedDelivery(str(recipient.address), n, State.WAITING)
            for n, recipient in enumerate(submission.envelope.recipients)
        )
        return Accepted(spool_id, deliveries)

    def may_send_from(self, identity: Identity, envelope_sender: str) -> Refusal | None:
        """As `sender_refusal` says."""
        return self.sender_refusal(identity, envelope_sender)

    def receive(self) -> None:
        """Content is handed in whole."""

    def has_room(self, size: int) -> Refusal | None:
        """As `room_refusal` says."""
        return self.room_refusal(size)


class SmallAccounts:
    """One user, "ann" with password "secret"; `asked` counts the checks, `down` makes the store unavailable."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.down = False

    async def by_password(self, name: str, password: str, peer: str) -> Identity | None:
        """Ann, if it is her."""
        self.asked.append((name, peer))
        if self.down:
            raise SpoolUnavailableError("the store is down")
        return ANN if (name, password) == ("ann", "secret") else None

    async def by_key(self, key: str, peer: str, access: Access = Access.TENANT) -> Identity | None:
        """No keys here."""
        return None
