"""What a node watches, built from the settings: the doctor's findings, the figures, the queue, workers and database.

Stands between the settings and the engine's watch. It runs on one worker of a node; what it says of the figures and the
queue is the same on every node, so that alarms about them are one row each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from relay import metrics
from relay.checkup import examined, means, sealed_keys, spool_of
from relay.clock import Clock
from relay.database.contract import Database
from relay.doctor.examining import CHECKS, examine
from relay.doctor.finding import Finding, Severity
from relay.doctor.machine import look_at_disk
from relay.doctor.sealing import look_at_keys
from relay.engine.alarms import Alarms
from relay.engine.watch import Look, Watch
from relay.errors import SpoolFullError, SpoolUnavailableError
from relay.figures.book import FigureBook
from relay.figures.contract import By, ReportQuery
from relay.figures.depths import Depth
from relay.policy.alarms import AlarmKind
from relay.policy.state import State
from relay.policy.trouble import (
    PAST,
    Answers,
    Backlog,
    Seen,
    judge_answers,
    judge_database,
    judge_queue,
    judge_relay,
    judge_workers,
)
from relay.settings import Settings
from relay.spool.contract import Spool
from relay.spool.inquiry import LaneFigures
from relay.spool.work import Incarnation

LOCAL_SECONDS: Final = 60.0
"""Between two looks at what only this machine is asked about."""
FIGURES_SECONDS: Final = 600.0
FAST_SECONDS: Final = 10.0
PING_SECONDS: Final = 5.0
PROVIDER_QUIET: Final = timedelta(days=1)
"""After so long without its word a provider's alarm is over."""
_UNFINISHED: Final = (State.WAITING, State.LEASED, State.HELD)
_LOCAL: Final = frozenset({"disk"})


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched, and who hears of it. `restarts` is how often the node's workers died lately."""

    database: Database
    spool: Spool
    figures: FigureBook
    alarms: Alarms
    clock: Clock
    restarts: int = 0


class Watching:
    """The looks of one node."""

    def __init__(self, settings: Settings, watched: Watched) -> None:
        self._settings = settings
        self._database = watched.database
        self._spool = watched.spool
        self._figures = watched.figures
        self._alarms = watched.alarms
        self._clock = watched.clock
        self._lives: dict[int, Incarnation] = {}
        self._deaths: deque[datetime] = deque((watched.clock.now() for _ in range(watched.restarts)), maxlen=100)
        self._failures = 0
        self._watch = Watch(watched.alarms, self.looks(), settings.node.name)

    def start(self) -> None:
        """Begin to watch."""
        self._watch.start()

    async def stop(self) -> None:
        """End."""
        await self._watch.stop()

    def looks(self) -> list[Look]:
        """Every look, with its pace; the first ones come late enough for the doors to be open."""
        every = self._settings.doctor.every.total_seconds()
        seconds = self._settings.doctor.timeout.total_seconds()
        looks = [
            Look("database", self.see_database, FAST_SECONDS, FAST_SECONDS),
            Look("workers", self.see_workers, FAST_SECONDS, FAST_SECONDS),
            Look("queue", self.see_queue, LOCAL_SECONDS, LOCAL_SECONDS),
            Look("figures", self.see_answers, FIGURES_SECONDS, LOCAL_SECONDS),
            Look("provider", self.see_providers, FIGURES_SECONDS, FIGURES_SECONDS),
            Look("disk", self.see_disk, LOCAL_SECONDS, LOCAL_SECONDS, whole=True),
        ]
        if every:
            looks.append(Look("doctor", self.see_doctor, every, 120.0, 2 * seconds + 60, twice=True, whole=True))
        return looks

    async def see_doctor(self) -> list[Seen]:
        """What `leak doctor` would say, but for what is looked at every minute."""
        settings = self._settings
        checks = [check for check in CHECKS if check.name not in _LOCAL]
        async with means(settings, self._clock) as how:
            what = await examined(settings, how.resolver, spool_of(settings, self._database))
            seconds = settings.doctor.timeout.total_seconds()
            found = await examine(how, what, seconds, lambda check, findings: None, checks)
        # The database has a look of its own, which works while it is away.
        return [seen_of(finding) for finding in found if finding.id != AlarmKind.DATABASE]

    async def see_disk(self) -> list[Seen]:
        """Room and speed of the spool's disk."""
        findings = await look_at_disk(spool_of(self._settings, self._database))
        return [seen_of(finding) for finding in findings]

    async def see_database(self) -> list[Seen]:
        """Whether the spool answers. A full disk is another matter."""
        why = ""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._spool.ping()
            self._failures = 0
        except SpoolFullError:
            self._failures = 0
        except (SpoolUnavailableError, TimeoutError) as error:
            self._failures += 1
            why = str(error) or f"no answer within {PING_SECONDS:.0f} s"
        return [judge_database(self._settings.node.name, self._failures, why)]

    async def see_workers(self) -> list[Seen]:
        """Which workers of this node are others than ten seconds ago."""
        now = self._clock.now()
        mine = [life for life in await self._spool.living() if life.node == self._settings.node.name]
        for life in mine:
            before = self._lives.get(life.worker)
            if before is not None and before != life.incarnation:
                self._deaths.append(now)
            self._lives[life.worker] = life.incarnation
        stands = self._settings.node.name in self._alarms.standing(AlarmKind.WORKERS)
        return [judge_workers(self._settings.node.name, self._deaths, now, stands=stands)]

    async def see_queue(self) -> list[Seen]:
        """Whether what is due leaves; and how deep the queue is, for its history."""
        spool, now = self._spool, self._clock.now()
        suspended = [one for one in await spool.suspensions() if one.until > now]
        lanes = await spool.lanes()
        depth = _counted(lanes, now)
        _show(depth)
        with suppress(SpoolUnavailableError):  # on a full disk the history has a gap; whoever waits is still told of
            await self._figures.note_depth(depth)
        backlog = [
            Backlog(
                lane.domain,
                lane.waiting,
                lane.next_due,
                any(one.stops(lane.tenant, lane.domain, lane.site) for one in suspended),
            )
            for lane in lanes
        ]
        return [judge_queue(backlog, self._settings.alarm.queue_age, now)]

    async def see_answers(self) -> list[Seen]:
        """What the figures say of each provider."""
        now = self._clock.now()
        rows = await self._figures.report(
            ReportQuery(now - PAST, now + timedelta(hours=1), (By.HOUR, By.PROVIDER), limit=100_000)
        )
        answers = [Answers(row.provider or "", row.at, row.counts, row.reasons) for row in rows if row.at is not None]
        kinds = (AlarmKind.DEFERRALS, AlarmKind.BOUNCES, AlarmKind.IDENTITY, AlarmKind.BLOCKLISTED)
        standing = {(kind, subject) for kind in kinds for subject in self._alarms.standing(kind)}
        seen = judge_answers(answers, standing, now)
        silent = standing - {(one.kind, one.subject) for one in seen}
        return [*seen, *(Seen(kind, subject, wrong=False) for kind, subject in sorted(silent))]

    async def see_providers(self) -> list[Seen]:
        """Which providers have not repeated what they said."""
        kind = AlarmKind.PROVIDER
        quiet = [one for one in self._alarms.standing(kind) if self._alarms.silence(kind, one) > PROVIDER_QUIET]
        return [Seen(kind, subject, wrong=False) for subject in quiet]


class FrontWatching(Watching):
    """The looks of a front that stands alone; `silence` tells how long its relay took nothing, and why."""

    def __init__(self, settings: Settings, watched: Watched, silence: Callable[[], tuple[float, str]]) -> None:
        self._silence = silence
        super().__init__(settings, watched)

    def looks(self) -> list[Look]:
        """The database, its disk, the relay, and the keys of sender records."""
        wanted = [look for look in super().looks() if look.name in {"database", "disk"}]
        return [
            *wanted,
            Look("relay", self.see_relay, FAST_SECONDS, FAST_SECONDS),
            Look("sealing-keys", self.see_sealing_keys, FIGURES_SECONDS, LOCAL_SECONDS),
        ]

    async def see_sealing_keys(self) -> list[Seen]:
        """Whether the coming months have keys; the doctor of a whole node looks at them among the rest."""
        folder = sealed_keys(self._settings)
        if folder is None:
            return []
        return [seen_of(await look_at_keys(self._settings.node.name, folder, self._clock.now()))]

    async def see_relay(self) -> list[Seen]:
        """Whether the relay answers; asked by the front's own questions, of which there is one a minute."""
        seconds, why = self._silence()
        return [judge_relay(self._settings.node.name, timedelta(seconds=seconds), why)]


def seen_of(finding: Finding) -> Seen:
    """A finding as the watch takes it; every id of a finding is a kind of alarm."""
    wrong = None if finding.severity is Severity.UNKNOWN else finding.severity.alarms
    evidence = f"{finding.evidence}; {finding.remedy}" if finding.remedy else finding.evidence
    return Seen(AlarmKind(finding.id), finding.subject, wrong, evidence)


def _counted(lanes: Sequence[LaneFigures], now: datetime) -> Depth:
    oldest = min((lane.oldest for lane in lanes if lane.oldest is not None), default=now)
    waiting, leased, held = (sum(getattr(lane, state.label) for lane in lanes) for state in _UNFINISHED)
    return Depth(now, waiting, leased, held, max(timedelta(), now - oldest))


def _show(depth: Depth) -> None:
    """The queue as metrics."""
    for state in _UNFINISHED:
        metrics.queue.labels(state.label).set(getattr(depth, state.label))
    metrics.queue_age.set(depth.oldest.total_seconds())
