"""Many letters at once: written into the spool as accept writes them, without the door and the checks before it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from relay.clock import to_millis
from relay.errors import SpoolUnavailableError
from relay.ids import SeededEntropy, new_spool_id
from relay.mail.address import Address
from relay.mail.envelope import Envelope, Recipient
from relay.spool.work import Door, NewMessage
from tests.simulation.node import SimulatedNode
from tests.simulation.world import World

_SENDER = Address("someone", "sender.example")
_TOGETHER = 5000


class Backlog:
    """Adds letters to the queue; each is promised as if a user had read 202."""

    def __init__(self, world: World, *, tenants: int = 1) -> None:
        self._world = world
        self._tenants = tenants
        self._serial = 0
        self._entropy = SeededEntropy(world.seed)
        now = world.clock.now()
        self._letter = NewMessage(
            id=new_spool_id(0, self._entropy),
            tenant=1,
            credential=None,
            door=Door.HTTP,
            envelope=Envelope(_SENDER, ()),
            content=b"From: someone@sender.example\r\nSubject: a letter\r\n\r\nThe quick brown fox.\r\n",
            prelude=b"Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@sender.example>\r\n",
            accepted_at=now,
            expires_at=now,
            due=now,
        )

    async def add(self, domains: Sequence[str], *, expire_after: timedelta = timedelta(days=5)) -> None:
        """One letter for each entry of `domains`."""
        loop, nodes = self._world.loop, self._world.nodes
        for start in range(0, len(domains), _TOGETHER):
            node = nodes[start % len(nodes)]
            if node.life is None:
                return
            tasks = [
                loop.create_task(self._accept(node, domain, expire_after), context=node.life.context)
                for domain in domains[start : start + _TOGETHER]
            ]
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, node: SimulatedNode, domain: str, expire_after: timedelta) -> None:
        if node.spool is None:
            return
        self._serial += 1
        now = self._world.clock.now()
        recipient = Address(f"to{self._serial}", domain)
        letter = replace(
            self._letter,
            id=new_spool_id(to_millis(now), self._entropy),
            tenant=1 + self._serial % self._tenants,
            envelope=Envelope(_SENDER, (Recipient(recipient),)),
            accepted_at=now,
            expires_at=now + expire_after,
            due=now,
        )
        try:
            receipt = await node.spool.accept(letter)
        except SpoolUnavailableError:
            return
        self._world.ledger.promise(receipt.id, (str(recipient),), "")
