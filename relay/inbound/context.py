"""What all sessions of the inbound door share beside what every SMTP door has."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from relay import metrics
from relay.clock import Clock
from relay.errors import SpoolFullError, SpoolUnavailableError
from relay.inbound.addresses import Addresses
from relay.inbound.rate import Rate
from relay.log import Log
from relay.policy.hearing import Purpose
from relay.smtp.reply import Reply, reply
from relay.spool.inbound_values import NewInbound
from relay.submission import replies
from relay.submission.context import LOCAL_ERROR, DoorContext
from relay.submission.options import SubmissionOptions

_log = Log("inbound")

Take = Callable[[NewInbound], Awaitable[list[int]]]
"""Commits a mail and gives its items' numbers; raises SpoolUnavailableError, SpoolFullError."""


class InboundContext(DoorContext):
    """One for each inbound server; `took` hears of items that were committed."""

    def __init__(
        self,
        options: SubmissionOptions,
        addresses: Addresses,
        rate: Rate,
        clock: Clock,
        take: Take,
        took: Callable[[list[int]], None],
    ) -> None:
        super().__init__(options, clock)
        self.addresses = addresses
        self.rate = rate
        self._take = take
        self._took = took

    def commit(self, mail: NewInbound, reserved: int) -> asyncio.Task[Reply]:
        """Commit `mail` in a task of its own; the task answers the reply to send."""
        return self.keep(self._commit(mail), mail.peer, reserved)

    async def _commit(self, mail: NewInbound) -> Reply:
        try:
            numbers = await self._take(mail)
        except SpoolFullError:
            return replies.NO_ROOM
        except SpoolUnavailableError as error:
            _log.error("take-failed", error=error)
            return LOCAL_ERROR
        except Exception:  # noqa: BLE001 - whatever broke, the stranger keeps the mail and tries again
            _log.exception("take-broken", peer=mail.peer)
            return LOCAL_ERROR
        metrics.accepted.labels("inbound").inc()
        # Whoever answers a letter may be a person with a mail host of their own.
        answers = all(one.purpose is Purpose.REPLY for one in mail.addresses)
        _log.info(
            "taken",
            peer="" if answers else mail.peer,
            inbound=numbers[0],
            addresses=len(numbers),
            octets=len(mail.content),
        )
        self._took(numbers)
        return reply(250, "2.0.0", f"taken {numbers[0]}")
