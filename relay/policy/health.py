"""Whether an egress source works at all: one that fails by itself rests, and its pool's others take its mail. Pure.

Two signs. Its address cannot be used (bound, or there is no route): that is certain. Or one host after the other
cannot be reached from it, while another source reached somebody meanwhile: then the way out from it is broken.
With a single source nothing follows, since there is nothing to choose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

FIRST_REST: Final = timedelta(minutes=1)
LONGEST_REST: Final = timedelta(minutes=30)
SILENT_SITES: Final = 5
"""Different sites in a row that could not be reached before the source itself is suspected."""


@dataclass(slots=True)
class _Record:
    until: datetime | None = None
    rests: int = 0
    silent: set[str] = field(default_factory=set)
    reached_since: bool = False
    """Whether another source reached anybody since our first silent site."""


class SourceHealth:
    """The health of all sources, by name, as one worker saw it."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}

    def resting(self, source: str, now: datetime) -> bool:
        """Whether the source should be passed over now."""
        record = self._records.get(source)
        return record is not None and record.until is not None and record.until > now

    def failed(self, source: str, now: datetime) -> timedelta | None:
        """The source itself could not be used. How long it rests from now, None if it rested already."""
        return self._rest(self._record(source), now)

    def unreachable(self, source: str, site: str, now: datetime) -> timedelta | None:
        """No host of `site` could be reached from the source. How long it rests if that was the last sign needed."""
        record = self._record(source)
        record.silent.add(site)
        if len(record.silent) < SILENT_SITES or not record.reached_since:
            if len(record.silent) > 10 * SILENT_SITES:
                record.silent = {site}
            return None
        return self._rest(record, now)

    def reached(self, source: str) -> None:
        """A host answered the source."""
        record = self._record(source)
        record.silent.clear()
        record.reached_since = False
        record.rests = 0
        record.until = None
        for name, other in self._records.items():
            if name != source and other.silent:
                other.reached_since = True

    def _record(self, source: str) -> _Record:
        return self._records.setdefault(source, _Record())

    def _rest(self, record: _Record, now: datetime) -> timedelta | None:
        if record.until is not None and record.until > now:
            return None
        span = min(FIRST_REST * (1 << min(record.rests, 10)), LONGEST_REST)
        record.until = now + span
        record.rests += 1
        record.silent.clear()
        record.reached_since = False
        return span
