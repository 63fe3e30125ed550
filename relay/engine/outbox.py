"""The outbox: sees to it that every webhook is told, by one worker of all nodes, whatever happens to the others.

Reads the spool's stream of events, never the path of a message: a receiver that is slow or down delays no mail. A
webhook is held by an incarnation like a delivery; when its holder ends, another worker takes it and goes on from the
position that was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from relay.clock import has_come
from relay.engine.alarms import Alarms
from relay.engine.courier import FURTHEST, Courier, CourierParts
from relay.engine.lease import Lease
from relay.engine.postman import Posting, Postman
from relay.errors import SpoolUnavailableError
from relay.event.feed import Position
from relay.log import Log
from relay.notify.webhook import Webhook
from relay.policy.alarms import AlarmKind

_log = Log("outbox")

LOOK_SECONDS: Final = 1.0
FREE_SECONDS: Final = 5.0
"""How often webhooks without a living holder are looked for."""
MOST_COURIERS: Final = 32
"""Webhooks that a worker tells at once: each has a page of events in memory."""
STOP_SECONDS: Final = 3.0
"""How long posts under way may take to end when the node stops."""
ALARM: Final = AlarmKind.WEBHOOK_DISABLED


class Outbox:
    """Owns one task and its couriers."""

    def __init__(self, parts: CourierParts, client: Posting, lease: Lease, alarms: Alarms) -> None:
        self._parts = parts
        self._client = client
        self._lease = lease
        self._alarms = alarms
        self._task: asyncio.Task[None] | None = None
        self._couriers: dict[int, asyncio.Task[None]] = {}
        self._told: dict[tuple[int, int], set[int]] = {}
        self._disabled: set[int] = set()
        self._stopping = False
        self._next_free = float("-inf")

    def start(self) -> None:
        """Begin to look for what is to be told."""
        self._task = asyncio.create_task(self._run(), name="outbox")

    async def stop(self) -> None:
        """Let posts under way end and record them; what is not told yet is for the next holder."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._couriers:
            await asyncio.wait(self._couriers.values(), timeout=STOP_SECONDS)
        for courier in self._couriers.values():
            courier.cancel()
        await asyncio.gather(*self._couriers.values(), return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except SpoolUnavailableError as error:
                _log.warning("look-failed", error=error)
            except Exception:  # noqa: BLE001 - one bad round must not end the telling
                _log.exception("look-broken")
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        """Take what nobody holds, and send couriers where there is something to tell."""
        if not self._holds():
            return
        now = self._parts.clock.monotonic()
        if now >= self._next_free:
            self._next_free = now + FREE_SECONDS
            if await self._parts.book.is_free():
                await self._parts.book.take(self._lease.incarnation)
        webhooks = await self._parts.book.webhooks()
        await self._end_alarms(webhooks)
        mine = [one for one in webhooks if one.holder == self._lease.incarnation and one.is_enabled]
        keys = {(one.id, one.version) for one in mine}
        self._told = {key: told for key, told in self._told.items() if key in keys}
        if not mine:
            return
        tip = await self._parts.spool.last_event()
        # Who was told least lately comes first, should there be too many for all.
        for one in sorted(mine, key=lambda one: one.next_at):
            if len(self._couriers) >= MOST_COURIERS:
                return
            if one.id not in self._couriers and self._is_due(one, tip):
                self._send(one)

    def _is_due(self, webhook: Webhook, tip: Position) -> bool:
        now = self._parts.clock.now()
        if not has_come(webhook.next_at, now, FURTHEST):
            return False
        # After a dump was restored on another server a position may lie beyond the tip until it is asked for.
        return webhook.position != tip or (
            webhook.parked_due is not None and has_come(webhook.parked_due, now, FURTHEST)
        )

    def _send(self, webhook: Webhook) -> None:
        told = self._told.setdefault((webhook.id, webhook.version), set())
        postman = Postman(webhook, self._parts.book.secrets(webhook), self._client, self._parts.clock)
        courier = Courier(self._parts, postman, self._lease.incarnation, self._holds, told)
        task = asyncio.create_task(self._follow(webhook, courier), name=f"webhook-{webhook.id}")
        self._couriers[webhook.id] = task
        task.add_done_callback(lambda _: self._couriers.pop(webhook.id, None))

    async def _follow(self, webhook: Webhook, courier: Courier) -> None:
        try:
            await courier.run()
        except SpoolUnavailableError as error:
            _log.warning("round-failed", webhook=webhook.id, error=error)
        except Exception:  # noqa: BLE001 - the next look sends another courier
            _log.exception("courier-broken", webhook=webhook.id)
        if courier.disabled_why:
            host = urlsplit(webhook.url).hostname or ""
            await self._alarms.start(ALARM, str(webhook.id), f"{host}: {courier.disabled_why}")

    async def _end_alarms(self, webhooks: Sequence[Webhook]) -> None:
        """A webhook that was enabled again, here or elsewhere, or removed, alarms nobody any more."""
        disabled = {one.id for one in webhooks if not one.is_enabled}
        for webhook in self._disabled.union(one.id for one in webhooks) - disabled:
            await self._alarms.end(ALARM, str(webhook))
        self._disabled = disabled

    def _holds(self) -> bool:
        return not self._stopping and self._lease.holds()
