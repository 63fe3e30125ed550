"""Alarms: a standing row, a log line and a metric, each raised once and ended once.

An alarm about the spool itself cannot be a row: it stands here alone until the spool answers, and whoever calls a
person is told of it all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from relay import metrics
from relay.clock import Clock
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.policy.alarms import AlarmKind
from relay.spool.contract import Spool
from relay.spool.orders import Alarm

_log = Log("alarm")


class Alarms:
    """Raises and ends the node's alarms. A spool that cannot be written never stops what wanted to warn."""

    def __init__(self, spool: Spool, clock: Clock) -> None:
        self._spool = spool
        self._clock = clock
        self._standing: set[tuple[str, str]] = set()
        self._said: dict[tuple[str, str], datetime] = {}
        self._unstored: dict[tuple[str, str], Alarm] = {}
        self._kinds: set[str] = set()
        """Every kind that ever stood: a series that ended must say 0, for it cannot be taken back."""

    @property
    def unstored(self) -> Mapping[tuple[str, str], Alarm]:
        """Those that stand and are no rows, because the spool could not take them, by kind and subject."""
        return self._unstored

    def standing(self, kind: AlarmKind) -> list[str]:
        """The subjects of the standing alarms of a kind."""
        return sorted(subject for one, subject in self._standing if one == kind)

    def silence(self, kind: AlarmKind, subject: str) -> timedelta:
        """How long nobody here wanted to raise a standing alarm; from when it is first asked, if nobody ever did."""
        now = self._clock.now()
        return now - self._said.setdefault((kind.value, subject), now)

    async def load(self) -> None:
        """Learn which alarms stand from earlier lives."""
        self._standing = {(alarm.kind, alarm.subject) for alarm in await self._spool.alarms()}
        self._count()

    async def refresh(self) -> None:
        """Follow what others raised and ended: the spool's own quarantine, commands, other workers."""
        standing = {(alarm.kind, alarm.subject): alarm.detail for alarm in await self._spool.alarms()}
        for kind, subject in standing.keys() - self._standing:
            _log.error("alarm-raised", kind=kind, subject=subject, detail=standing[kind, subject])
        for key, alarm in list(self._unstored.items()):
            await self._spool.raise_alarm(alarm.kind, alarm.subject, alarm.detail)
            self._unstored.pop(key, None)
            standing[key] = alarm.detail
        self._standing = set(standing)
        self._said = {key: at for key, at in self._said.items() if key in standing}
        self._count()

    async def start(self, kind: AlarmKind, subject: str, detail: str) -> None:
        """Raise an alarm unless it stands already."""
        key = (kind.value, subject)
        self._said[key] = self._clock.now()
        if key in self._standing:
            return
        self._standing.add(key)
        self._count()
        _log.error("alarm-raised", kind=kind.value, subject=subject, detail=detail)
        try:
            await self._spool.raise_alarm(kind.value, subject, detail)
        except SpoolUnavailableError as error:
            _log.warning("alarm-not-stored", kind=kind.value, subject=subject, error=error)
            if key in self._standing:
                self._unstored[key] = Alarm(kind.value, subject, self._clock.now(), detail)

    async def end(self, kind: AlarmKind, subject: str) -> bool:
        """End an alarm; False if it did not stand."""
        key = (kind.value, subject)
        if key not in self._standing:
            return False
        self._standing.discard(key)
        self._said.pop(key, None)
        self._unstored.pop(key, None)
        self._count()
        _log.info("alarm-ended", kind=kind.value, subject=subject)
        try:
            await self._spool.clear_alarm(kind.value, subject)
        except SpoolUnavailableError as error:
            _log.warning("alarm-not-cleared", kind=kind.value, subject=subject, error=error)
        return True

    def _count(self) -> None:
        counts = Counter(kind for kind, _ in self._standing)
        self._kinds |= counts.keys()
        for kind in self._kinds:
            metrics.alarms.labels(kind).set(counts[kind])
