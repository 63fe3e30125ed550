"""Senders: remembers the From addresses that mail is accepted with, so that the inbound door takes what answers them.

Some providers refuse mail whose From takes no mail. Each address is written once a life of the worker, beside the
accept and never in its way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from relay.engine.owned import OwnedTasks
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.mail.address import Address

_log = Log("intake")

MAX_KNOWN: Final = 10_000
STOP_SECONDS: Final = 1.0


class Senders:
    """`note` writes an address of one of `domains`; others receive their mail elsewhere."""

    def __init__(self, note: Callable[[str], Awaitable[None]], domains: frozenset[str]) -> None:
        self._note = note
        self._domains = domains
        self._known: OrderedDict[str, None] = OrderedDict()
        self._tasks = OwnedTasks()

    def wrote(self, author: Address) -> None:
        """Mail with this From is being accepted."""
        address = str(author).lower()
        if author.domain not in self._domains or address in self._known:
            return
        self._known[address] = None
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        self._tasks.start(self._write(address), "note-sender")

    async def stop(self) -> None:
        """Finish what is being written."""
        await self._tasks.end(STOP_SECONDS)

    async def _write(self, address: str) -> None:
        try:
            await self._note(address)
        except SpoolUnavailableError as error:
            self._known.pop(address, None)
            _log.warning("sender-not-noted", error=error)
