"""Judges what arrived, behind the inbox's back: one mail at a time, from a bounded queue.

A mail that found the queue full, or that is looked at before its turn, is judged on the spot.
"""

from __future__ import annotations

import asyncio
from typing import Final

from relay.authentication.spf import Evidence
from relay.lab.inbox import MAX_MAILS, Inbox
from relay.lab.mailbox import Arrival
from relay.lab.reading import summarise
from relay.lab.verdict import Verdict, judge
from relay.log import Log
from relay.resolver.contract import Resolver

MAX_WAITING: Final = MAX_MAILS

_log = Log("lab.examiner")


class Examiner:
    """Gives each arrival its verdict; `offer` is a listener of the inbox."""

    def __init__(self, inbox: Inbox, resolver: Resolver) -> None:
        self._inbox = inbox
        self._resolver = resolver
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MAX_WAITING)
        self._worker: asyncio.Task[None] | None = None
        self._ending = False

    async def start(self) -> None:
        """Begin to work."""
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """End at once; what waits stays unjudged until it is looked at."""
        self._ending = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    def offer(self, arrival: Arrival) -> None:
        """Queue an arrival; a full queue leaves it for later."""
        if not self._waiting.full():
            self._waiting.put_nowait(arrival.id)  # by id, so that the queue keeps no content alive

    async def verdict(self, arrival: Arrival) -> Verdict:
        """The verdict on one arrival, judged now if it was not before."""
        if arrival.verdict is None:
            posting = arrival.posting
            evidence = Evidence(
                posting.host, posting.client.address, posting.client.name, posting.reverse_path, posting.content
            )
            arrival.verdict = await judge(self._resolver, evidence)
        return arrival.verdict

    async def _work(self) -> None:
        # The flag, because asyncio.wait_for of Python 3.11, which spftrace uses, can swallow a cancellation.
        while not self._ending:
            arrival = self._inbox.get(await self._waiting.get())
            if arrival is None:
                continue
            try:
                if arrival.known is None:
                    posting = arrival.posting
                    arrival.known = await asyncio.to_thread(summarise, posting.content, posting.recipients)
                await self.verdict(arrival)
            except Exception:  # noqa: BLE001 - one mail that cannot be judged must not end the judging
                _log.exception("verdict-failed", id=arrival.id)
