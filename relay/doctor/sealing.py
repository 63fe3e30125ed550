"""Will there be a key for the sender records of the coming months?

Looks at the names of the public halves alone, "2026-11.pem" and so on. Where the month's key is missing, records are
sealed to another month's and are deleted with that month, and after a year nothing is left of them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from relay.doctor.finding import Finding, Severity
from relay.doctor.subject import Examined, Means

AHEAD: Final = timedelta(days=60)
"""So long before the last key's month is over somebody is told: its private half has to be made offline."""

_KEY: Final = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])")
_REMEDY: Final = "on the custodian's machine `leak sealed new-keys`, then copy the public halves to web.sealed_keys"


async def look(means: Means, examined: Examined) -> list[Finding]:
    """The keys of the front's sender records; nothing where no front is."""
    folder = examined.sealed_keys
    return [] if folder is None else [await look_at_keys(examined.node, folder, means.clock.now())]


async def look_at_keys(node: str, folder: Path, now: datetime) -> Finding:
    """The same of one folder."""
    return judge_keys(node, await asyncio.to_thread(months_in, folder), now)


def months_in(folder: Path) -> frozenset[str]:
    """The months that have a key in `folder`; none where there is no folder."""
    return frozenset(path.stem for path in folder.glob("*.pem") if _KEY.fullmatch(path.stem))


def judge_keys(node: str, months: Collection[str], now: datetime) -> Finding:
    """Whether this month and those that begin within `AHEAD` have keys."""
    month, ahead = _month(now), _month(now + AHEAD)
    last = max(months, default="")
    if not months:
        evidence = "no key to seal to: no record is kept of who sent a letter, which French law asks for"
        return Finding("sealing-keys", node, Severity.NOTE, evidence, _REMEDY)
    if last < month:
        evidence = f"the last key is that of {last}: records are sealed to it, and go too early"
        return Finding("sealing-keys", node, Severity.ERROR, evidence, _REMEDY)
    if month not in months:
        evidence = f"there is no key of {month}: records are sealed to that of {min(m for m in months if m > month)}"
        return Finding("sealing-keys", node, Severity.WARNING, evidence, _REMEDY)
    if last < ahead:
        return Finding("sealing-keys", node, Severity.WARNING, f"the last key is that of {last}", _REMEDY)
    return Finding("sealing-keys", node, Severity.OK, f"keys until {last}")


def _month(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m}"
