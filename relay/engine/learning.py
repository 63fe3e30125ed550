"""The learner: reads the stream of events once and writes what follows from it, figures and suppressions.

One of all workers reads at a time. What a batch teaches is written in the transaction that moves the cursor, so a
crash, a second reader or a repeated batch neither loses nor doubles anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relay.clock import Clock
from relay.database.contract import Connection
from relay.errors import SpoolUnavailableError
from relay.event import EventKind
from relay.event.feed import EventFilter
from relay.figures.book import FigureBook
from relay.figures.rows import add_figures
from relay.log import Log
from relay.policy.complaints import BrakeRules
from relay.policy.lessons import Deed, Lessons, learn
from relay.policy.suppress import Reason
from relay.shaping.rows import add_trials, any_warm_up
from relay.shaping.warm_ups import WarmUpBook
from relay.spool.contract import Spool
from relay.suppression.book import SuppressionBook
from relay.suppression.contract import NewSuppression
from relay.wary_clock import WaryClock

_log = Log("learning")

BATCH: Final = 500
LOOK_SECONDS: Final = 1.0
FORGET_SECONDS: Final = 3600.0
PURGED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class LearnerParts:
    """What is read, and the books that are written; `warm_ups` None: every source counts as warm.

    Of people who refuse mail of the tenants in `hash_only` a keyed hash alone is written, as by `OptOuts`.
    """

    spool: Spool
    figures: FigureBook
    suppressions: SuppressionBook
    clock: Clock
    warm_ups: WarmUpBook | None = None
    hash_only: frozenset[int] = frozenset()


class Learner:
    """Owns one task. `holder` names this worker; `provider_of` tells whose a host or a domain is."""

    def __init__(
        self,
        parts: LearnerParts,
        holder: str,
        provider_of: Callable[[str, str], str],
        brake: BrakeRules | None = None,
    ) -> None:
        self._spool = parts.spool
        self._figures = parts.figures
        self._suppressions = parts.suppressions
        self._clock = WaryClock.of(parts.clock)
        self._warm_ups = parts.warm_ups
        self._hash_only = parts.hash_only
        self._holder = holder
        self._provider_of = provider_of
        self._brake = brake
        self._forget_due = parts.clock.monotonic()
        self._to_erase = parts.hash_only
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._run(), name="learner")

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            more = False
            try:
                more = await self.step()
                await self.forget()
            except SpoolUnavailableError as error:
                _log.warning("events-unread", error=error)
            except Exception:  # noqa: BLE001 - what one batch met must not end the reading
                _log.exception("learning-broken")
            if not more:
                await asyncio.sleep(LOOK_SECONDS)

    async def step(self) -> bool:
        """One batch; whether there is more to read at once."""
        before = await self._figures.take(self._holder)
        if before is None:
            return False
        page = await self._spool.events(EventFilter(before, BATCH))
        if page.cursor == before:
            return False
        lessons = learn(page.events, self._provider_of)
        fresh: list[bytes] = []
        if not await self._figures.advance(before, page.cursor, lambda c: fresh.extend(self._write(c, lessons))):
            return False
        self._suppressions.learnt(fresh)
        if self._brake is not None and any(figure.kind == EventKind.COMPLAINED for figure in lessons.figures):
            # Only a complaint can tighten a brake, and whoever reads it judges it.
            await self._figures.tighten(self._brake)
        return page.more

    def _write(self, connection: Connection, lessons: Lessons) -> list[bytes]:
        """Everything that a batch teaches; the hashes that are refused from now on."""
        add_figures(connection, lessons.figures)
        if self._warm_ups is not None and lessons.trials and any_warm_up(connection):
            add_trials(connection, lessons.trials)
        rows, fresh = self._suppressions.rows, []
        now = self._clock.now()
        if lessons.delivered and rows.counts_any(connection):
            hasher = self._suppressions.hasher
            rows.forgive(connection, [(tenant, hasher.of_address(one)) for tenant, one in lessons.delivered])
        for deed in lessons.deeds:
            new = self._new(deed)
            if deed.reason is Reason.SOFT_BOUNCE:
                written = rows.strike(connection, new, deed.at, deed.at)
            else:
                written = rows.add(connection, new, deed.at if deed.reason.of_a_host else now)
            if written:
                fresh.append(rows.hash_of(new))
                _log.info("suppressed-from-now", reason=deed.reason.value, cause=f"{deed.detail} ({deed.delivery})")
        return fresh

    async def forget(self) -> None:
        """Delete what nobody counts any more: once an hour, if the wall clock may be believed."""
        if self._clock.monotonic() >= self._forget_due and not self._clock.lead():
            await self._suppressions.erase_people(self._to_erase)
            self._to_erase = frozenset()  # once a life: nothing writes an address of theirs any more
            await self._suppressions.bring_back()
            while await self._suppressions.purge(PURGED_AT_ONCE) == PURGED_AT_ONCE:
                pass
            await self._figures.forget()
            if self._warm_ups is not None:
                await self._warm_ups.forget()
            self._forget_due = self._clock.monotonic() + FORGET_SECONDS

    def _new(self, deed: Deed) -> NewSuppression:
        kept = deed.reason.of_a_host or deed.tenant not in self._hash_only
        # The message's number leads to the address for as long as the message is kept.
        detail = f"{deed.detail} ({deed.delivery})" if kept else deed.detail
        return NewSuppression(deed.tenant, deed.address, deed.reason, deed.stream, detail, address_kept=kept)
