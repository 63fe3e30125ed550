"""Keeps IPv6 to the sources that are fit for it: asked at the start and every hour, told in the log.

Stands between the settings and the engine. Until the first answer is there, IPv6 waits: IPv4 loses nothing by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from relay.egress.sources import system_addresses
from relay.log import Log
from relay.resolver.contract import Resolver
from relay.resolver.fitness import fitness_of
from relay.settings import Settings
from relay.sources import egress_sources

EVERY: Final = 3600.0
"""Seconds between two looks."""
AGAIN: Final = 60.0
"""Seconds until the next one when the DNS gave no answer."""

_log = Log("egress")


class Ipv6Watch:
    """Tells `use` the names of the sources whose IPv6 must not be used."""

    def __init__(self, settings: Settings, resolver: Resolver, use: Callable[[frozenset[str]], None]) -> None:
        self._resolver = resolver
        self._use = use
        self._domains = sorted({entry.return_domain or entry.domain for entry in settings.signing.domain})
        rules = {source.name: source.ipv6 for source in settings.egress.source}
        self._never = {name for name, rule in rules.items() if rule == "never"}
        system = next((address for address in system_addresses() if ":" in address), "")
        self._asked = {
            source.name: source.address or system
            for source in egress_sources(settings)
            if ":" in (source.address or system) and rules.get(source.name, "when-fit") == "when-fit"
        }
        self._unfit = set(self._asked)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._use(frozenset(self._never | self._unfit))
        if self._asked:
            self._task = asyncio.create_task(self._run(), name="ipv6-watch")

    async def stop(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> bool:
        """Ask for every source once; whether the DNS answered for all."""
        answered = True
        for name, address in self._asked.items():
            found = await fitness_of(self._resolver, address, self._domains)
            if found.fit is None:
                answered = False
            elif found.fit:
                if name in self._unfit:
                    _log.info("ipv6-fit", source=name, address=address)
                self._unfit.discard(name)
            else:
                _log.warning("ipv6-unfit", source=name, address=address, why=found.why)
                self._unfit.add(name)
        self._use(frozenset(self._never | self._unfit))
        return answered

    async def _run(self) -> None:
        while True:
            try:
                answered = await self.look()
            except Exception:  # noqa: BLE001 - the watch outlives whatever one look meets
                _log.exception("ipv6-look-failed")
                answered = False
            await asyncio.sleep(EVERY if answered else AGAIN)
