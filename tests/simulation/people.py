"""The users of the simulated relay: they hand in letters, and send again when no answer comes.

Some give an idempotency key and repeat the same letter under it; the others can only send a new one, which is
duplicate (d) when the first was kept after all. Where the clock is put ahead by more than a key lives, nobody uses one:
whether a letter under way meets an old key depends on the moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Final

from relay.account.identity import Identity
from relay.engine.submission import Accepted, Submission
from relay.mail.address import Address
from relay.mail.envelope import Envelope, Recipient
from relay.spool.accepting import IDEMPOTENCY_MILLIS
from relay.spool.work import Door, Idempotency
from tests.simulation.clock import BEGIN
from tests.simulation.ledger import Ledger
from tests.simulation.node import SimulatedNode
from tests.simulation.options import Options

PATIENCE: Final = 40
"""Tries of one letter before a user gives up."""


def letter(
    sender: Address, recipients: Sequence[Address], *, tenant: int = 1, door: Door = Door.HTTP, size: int = 200
) -> Submission:
    """A small lawful letter."""
    header = f"From: {sender}\r\nTo: {recipients[0]}\r\nSubject: a letter\r\nMIME-Version: 1.0\r\n\r\n"
    line = b"The quick brown fox jumps over the lazy dog and back again.\r\n"
    return Submission(
        door=door,
        identity=Identity(tenant, f"tenant-{tenant}", None, "user", ("*",)),
        envelope=Envelope(sender, tuple(map(Recipient, recipients))),
        content=header.encode() + line * max(1, size // len(line)),
    )


@dataclass(eq=False)
class People:
    """All users."""

    nodes: Sequence[SimulatedNode]
    ledger: Ledger
    random: Random
    options: Options
    sent_twice: int = 0
    """Letters accepted although an earlier sending of them, unanswered, may have been kept: duplicate (d) at most."""
    _senders: list[asyncio.Task[None]] = field(default_factory=list)

    async def write(self, seconds: float) -> None:
        """Send all letters, spread over `seconds` and partly in bursts; returns when each user is done."""
        moments = sorted(self.random.uniform(0, seconds) for _ in range(self.options.messages))
        burst = self.random.random() < 0.3
        async with asyncio.TaskGroup() as group:
            for serial, moment in enumerate(moments):
                random = Random(f"user/{self.options.seed}/{serial}")
                group.create_task(self._send(serial, moments[0] if burst else moment, random))

    @property
    def _keys_last(self) -> bool:
        ahead = (fault.seconds for fault in self.options.faults if fault.kind == "clock")
        return max(ahead, default=0.0) * 1000 < IDEMPOTENCY_MILLIS

    async def _send(self, serial: int, moment: float, random: Random) -> None:
        await asyncio.sleep(moment)
        key = f"key-{serial}" if random.random() < self.options.idempotent and self._keys_last else ""
        door = random.choice((Door.SMTP, Door.HTTP, Door.HTTP))
        places = [self._place(random) for _ in range(random.choice((1, 1, 1, 2, 4)))]
        later = random.choice((0.0, 0.0, 0.0, 0.0, 30.0, 150.0))
        size = random.choice((200, 200, 2000, 70_000, 300_000)) if random.random() < 0.2 else 200
        tenant = random.randint(1, 3)
        doubtful = False
        for attempt in range(PATIENCE):
            node = random.choice(self.nodes)
            if not node.up:
                await asyncio.sleep(random.uniform(0.5, 20))
                continue
            mark = f"{serial}-{0 if key else attempt}"
            recipients = [Address(f"{local}{mark}-{i}", domain) for i, (local, domain) in enumerate(places)]
            submission = letter(Address(f"from{mark}", "p0.example"), recipients, tenant=tenant, door=door, size=size)
            submission = Submission(
                submission.door,
                submission.identity,
                submission.envelope,
                submission.content,
                send_at=BEGIN + timedelta(seconds=moment + later) if later else None,
                idempotency=Idempotency(key, key.encode()) if key else None,
            )
            answer = await node.submit(submission)
            if isinstance(answer, Accepted):
                self.ledger.promise(answer.id, tuple(map(str, recipients)), key)
                self.sent_twice += doubtful
                return
            doubtful = doubtful or not key
            await asyncio.sleep(random.uniform(1, 30))

    def _place(self, random: Random) -> tuple[str, str]:
        local = "gone" if random.random() < self.options.gone else "to"
        chance = random.random()
        domain = f"p{random.randrange(self.options.providers)}.example"
        if chance < 0.02:
            domain = "null.example"
        elif chance < 0.04:
            domain = "nowhere.example"
        return local, domain
