"""The policies of MTA-STS domains: looked up, fetched once, kept as long as they say (RFC 8461 §3.3, §5.1).

Stands between the plan and the policy hosts. Guarantees that a valid policy outlives a failing policy host
and a vanished TXT record (I07), that a domain whose policy was never had is delivered to as without one (I08),
and that a dead policy host costs one fetch in five minutes (I09). Kept in this worker's memory, bounded, and in a
store that all workers share and that outlives them.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy import mta_sts
from relay.policy.mta_sts import StsMode, StsPolicy
from relay.policy.tls import Fault
from relay.resolver.contract import Resolver

MAX_CACHED: Final = 20_000
"""Policies a worker keeps; the one used longest ago goes first."""
LEAST_AGE: Final = 60.0
"""Seconds a policy is kept at least, whatever its max_age says: one of 0 must not cost a fetch a letter."""
FAILURE_TTL: Final = 300.0
"""Seconds after a failed fetch in which none is tried again."""
REFRESH_AFTER: Final = 86_400.0
"""Seconds after which a policy is fetched again, whether its id changed or not (RFC 8461 §10.2)."""
REFRESH_PAUSE: Final = 3_600.0
"""Seconds between two looks at what is due for a refresh."""
PATIENCE: Final = 10.0
"""Seconds a delivery waits for a newer policy while it has a valid one."""

_log = Log("mta-sts")


class Fetcher(Protocol):
    """Where policies come from: `relay.resolver.policy_host`."""

    async def fetch(self, domain: str) -> StsPolicy | Fault:
        """The policy, or why there is none."""
        ...


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A domain's policy, the id it was fetched for, and when."""

    domain: str
    id: str
    policy: StsPolicy
    fetched: datetime


class PolicyStore(Protocol):
    """Where policies outlive a worker: `relay.resolver.sts_store`. Its methods raise SpoolUnavailableError."""

    async def load(self) -> list[StoredPolicy]:
        """The valid ones, `MAX_CACHED` at most, those fetched last last."""
        ...

    async def find(self, domain: str) -> StoredPolicy | None:
        """A domain's, if it has a valid one."""
        ...

    async def keep(self, found: StoredPolicy) -> None:
        """Keep it in the place of an older one."""
        ...


def lasts(policy: StsPolicy) -> float:
    """Seconds that a policy is valid after it was fetched."""
    return max(LEAST_AGE, float(policy.max_age))


@dataclass(frozen=True, slots=True)
class StsAnswer:
    """What holds for a domain: a policy, or none; `fault` when there should be one and it could not be had."""

    policy: StsPolicy | None = None
    fault: Fault | None = None


NO_POLICY: Final = StsAnswer()


@dataclass(frozen=True, slots=True)
class _Kept:
    policy: StsPolicy
    id: str
    fetched: float

    def valid(self, now: float) -> bool:
        return now < self.fetched + lasts(self.policy)

    def due(self, now: float) -> bool:
        return now >= self.fetched + min(REFRESH_AFTER, self.policy.max_age / 2)


class StsPolicies:
    """The cache, and the one owner of fetches. `load` first; `start` keeps it fresh until `close`."""

    def __init__(
        self,
        resolver: Resolver,
        fetcher: Fetcher,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        store: PolicyStore | None = None,
    ) -> None:
        self._resolver = resolver
        self._fetcher = fetcher
        self._clock = clock
        self._sleep = sleep
        self._store = store
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._failed: OrderedDict[str, tuple[float, Fault]] = OrderedDict()
        self._fetches: dict[str, asyncio.Task[StsAnswer]] = {}
        self._refresher: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Take over what was fetched before this worker began. Raises SpoolUnavailableError."""
        for found in [] if self._store is None else await self._store.load():
            self._remember(found)

    def start(self) -> None:
        """Refresh ahead of expiry in the background."""
        self._refresher = asyncio.create_task(self._keep_fresh(), name="mta-sts refresh")

    async def close(self) -> None:
        """Give up what is in flight."""
        tasks = [*self._fetches.values(), *([self._refresher] if self._refresher else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def of(self, domain: str) -> StsAnswer:
        """The policy of the recipient's `domain` (A-labels), never of its exchangers' (I10)."""
        record = await self._resolver.ask(f"_mta-sts.{domain}", "TXT")
        published = mta_sts.record_id(record.records)
        kept = self._valid(domain)
        if kept is None:
            return await self._wanted(domain, published) if published else NO_POLICY
        self._kept.move_to_end(domain)
        if published and published != kept.id:
            return await self._newer(domain, published, kept)
        return StsAnswer(kept.policy)

    async def refresh_due(self) -> None:
        """Fetch again what is due; failures leave the valid policy in place."""
        now = self._clock.monotonic()
        for domain in [domain for domain, kept in self._kept.items() if not kept.valid(now)]:
            del self._kept[domain]
        due = [domain for domain, kept in self._kept.items() if kept.due(now) and kept.policy.mode is not StsMode.NONE]
        for domain in due:
            record = await self._resolver.ask(f"_mta-sts.{domain}", "TXT")
            kept = self._kept.get(domain)
            if kept is not None:
                await self._wanted(domain, mta_sts.record_id(record.records) or kept.id)

    def _valid(self, domain: str) -> _Kept | None:
        kept = self._kept.get(domain)
        return kept if kept is not None and kept.valid(self._clock.monotonic()) else None

    async def _newer(self, domain: str, published: str, kept: _Kept) -> StsAnswer:
        """The policy of a new id, the one we have if that takes too long or fails."""
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._wanted(domain, published)
        except TimeoutError:
            return StsAnswer(kept.policy)
        return answer if answer.policy is not None else StsAnswer(kept.policy)

    async def _wanted(self, domain: str, published: str) -> StsAnswer:
        """A fetch of ours or somebody's that is under way; not again soon after one that failed."""
        until, fault = self._failed.get(domain, (0.0, None))
        if until > self._clock.monotonic():
            return StsAnswer(None, fault)
        task = self._fetches.get(domain)
        if task is None:
            task = asyncio.create_task(self._fetch(domain, published), name="mta-sts fetch")
            self._fetches[domain] = task
            task.add_done_callback(lambda _: self._fetches.pop(domain, None))
        return await asyncio.shield(task)

    async def _fetch(self, domain: str, published: str) -> StsAnswer:
        if (kept := await self._recall(domain, published)) is not None:
            return StsAnswer(kept.policy)
        found = await self._fetcher.fetch(domain)
        now = self._clock.monotonic()
        if isinstance(found, Fault):
            _log.warning("policy-not-fetched", domain=domain, result=found.result.value, reason=found.words)
            self._failed[domain] = (now + FAILURE_TTL, found)
            self._failed.move_to_end(domain)
            if len(self._failed) > MAX_CACHED:
                self._failed.popitem(last=False)
            return StsAnswer(None, found)
        _log.info("policy-fetched", domain=domain, mode=found.mode.value, max_age=found.max_age)
        self._failed.pop(domain, None)
        stored = StoredPolicy(domain, published, found, self._clock.now())
        self._remember(stored)
        if self._store is not None:
            try:
                await self._store.keep(stored)
            except SpoolUnavailableError as error:
                _log.warning("policy-not-stored", domain=domain, error=error)
        return StsAnswer(found)

    async def _recall(self, domain: str, published: str) -> _Kept | None:
        """What another worker fetched for the same id, if that is not long ago."""
        try:
            found = None if self._store is None else await self._store.find(domain)
        except SpoolUnavailableError as error:
            _log.warning("policy-unread", domain=domain, error=error)
            return None
        if found is None or found.id != published:
            return None
        kept = self._remember(found)
        return None if kept.due(self._clock.monotonic()) else kept

    def _remember(self, found: StoredPolicy) -> _Kept:
        # A clock that was set back makes no policy older than now.
        age = max(0.0, (self._clock.now() - found.fetched).total_seconds())
        kept = self._kept[found.domain] = _Kept(found.policy, found.id, self._clock.monotonic() - age)
        self._kept.move_to_end(found.domain)
        if len(self._kept) > MAX_CACHED:
            self._kept.popitem(last=False)
        return kept

    async def _keep_fresh(self) -> None:
        while True:
            await self._sleep(REFRESH_PAUSE)
            try:
                await self.refresh_due()
            except Exception:  # noqa: BLE001 - the refresher must outlive whatever one look meets
                _log.exception("refresh-failed")
