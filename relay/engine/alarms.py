"""Alarms: a standing row, a log line and a metric, each raised once and ended once."""

from __future__ import annotations

from collections import Counter

from relay import metrics
from relay.errors import SpoolUnavailableError
from relay.log import Log
from relay.spool.contract import Spool

_log = Log("alarm")


class Alarms:
    """Raises and ends the node's alarms. A spool that cannot be written never stops what wanted to warn."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._standing: set[tuple[str, str]] = set()
        self._kinds: set[str] = set()
        """Every kind that ever stood: a series that ended must say 0, for it cannot be taken back."""

    async def load(self) -> None:
        """Learn which alarms stand from earlier lives."""
        self._standing = {(alarm.kind, alarm.subject) for alarm in await self._spool.alarms()}
        self._count()

    async def refresh(self) -> None:
        """Follow what others raised and ended: the spool's own quarantine, commands, other workers."""
        standing = {(alarm.kind, alarm.subject): alarm.detail for alarm in await self._spool.alarms()}
        for kind, subject in standing.keys() - self._standing:
            _log.error("alarm-raised", kind=kind, subject=subject, detail=standing[kind, subject])
        self._standing = set(standing)
        self._count()

    async def start(self, kind: str, subject: str, detail: str) -> None:
        """Raise an alarm unless it stands already."""
        if (kind, subject) in self._standing:
            return
        self._standing.add((kind, subject))
        self._count()
        _log.error("alarm-raised", kind=kind, subject=subject, detail=detail)
        try:
            await self._spool.raise_alarm(kind, subject, detail)
        except SpoolUnavailableError as error:
            _log.warning("alarm-not-stored", kind=kind, subject=subject, error=error)

    async def end(self, kind: str, subject: str) -> bool:
        """End an alarm; False if it did not stand."""
        if (kind, subject) not in self._standing:
            return False
        self._standing.discard((kind, subject))
        self._count()
        _log.info("alarm-ended", kind=kind, subject=subject)
        try:
            await self._spool.clear_alarm(kind, subject)
        except SpoolUnavailableError as error:
            _log.warning("alarm-not-cleared", kind=kind, subject=subject, error=error)
        return True

    def _count(self) -> None:
        counts = Counter(kind for kind, _ in self._standing)
        self._kinds |= counts.keys()
        for kind in self._kinds:
            metrics.alarms.labels(kind).set(counts[kind])
