"""tags/list, info, time-series and all-time-series: what came of mail by the tags its sender gave it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from relay.api.dependencies import ApiDependencies
from relay.api.mandrill.call import Call, Document, Handlers, read, written
from relay.api.mandrill.documents import TagCall
from relay.api.mandrill.fault import Fault
from relay.api.mandrill.stats import SPANS, stats, stats_by_span
from relay.spool.tags import TagHour

_KEPT: Final = timedelta(days=SPANS[-1][1] - 1)
_SERIES: Final = timedelta(days=30)
_UNKNOWN: Final = Fault("Invalid_Tag_Name", "There is no such tag.")


class Tags:
    """The calls on tags."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._spool = dependencies.spool
        self._clock = dependencies.clock

    def calls(self) -> Handlers:
        """What this part adds to the door."""
        return {
            "tags/list": self.all,
            "tags/info": self.info,
            "tags/time-series": self.series,
            "tags/all-time-series": self.series_of_all,
        }

    async def all(self, call: Call) -> Document | Fault:
        """Every tag with its sums; there is no reputation score here."""
        tenant = call.identity.tenant
        tags = await self._spool.tags(tenant)
        hours = await self._spool.tag_hours(tenant, tags, self._midnight() - _KEPT)
        return [{"tag": tag, "reputation": 100, **stats(one.counts for one in hours if one.tag == tag)} for tag in tags]

    async def info(self, call: Call) -> Document | Fault:
        """The sums of one tag, and those of several spans of days."""
        midnight = self._midnight()
        found = await self._hours(call, midnight - _KEPT)
        if isinstance(found, Fault):
            return found
        tag, hours = found
        by_span = stats_by_span([(one.hour, one.counts) for one in hours], midnight, SPANS)
        return {"tag": tag, "reputation": 100, **stats(one.counts for one in hours), "stats": by_span}

    async def series(self, call: Call) -> Document | Fault:
        """One tag, hour by hour."""
        found = await self._hours(call, self._clock.now() - _SERIES)
        return found if isinstance(found, Fault) else _series(found[1])

    async def series_of_all(self, call: Call) -> Document | Fault:
        """All tags together, hour by hour: a letter with two tags counts with each."""
        tenant = call.identity.tenant
        tags = await self._spool.tags(tenant)
        return _series(await self._spool.tag_hours(tenant, tags, self._clock.now() - _SERIES))

    async def _hours(self, call: Call, since: datetime) -> tuple[str, Sequence[TagHour]] | Fault:
        wanted = read(TagCall, call)
        if isinstance(wanted, Fault):
            return wanted
        tenant = call.identity.tenant
        if not await self._spool.has_tag(tenant, wanted.tag):
            return _UNKNOWN
        return wanted.tag, await self._spool.tag_hours(tenant, [wanted.tag], since)

    def _midnight(self) -> datetime:
        return self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0)


def _series(hours: Sequence[TagHour]) -> list[dict[str, Any]]:
    sums: dict[datetime, Counter[str]] = {}
    for one in hours:
        sums.setdefault(one.hour, Counter()).update(one.counts)
    return [{"time": written(hour), **stats([counts])} for hour, counts in sorted(sums.items())]
