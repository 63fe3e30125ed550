"""How values are told to people: times as spans from now, strangers' words without what would act on a screen."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from relay.units import format_duration

CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
"""Control characters and changes of direction (S46)."""


def clean(text: str) -> str:
    """`text` without control characters and changes of direction."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago a moment was, "-" for none."""
    return "-" if moment is None else format_duration(now - moment)


def until(moment: datetime | None, now: datetime) -> str:
    """How far away a moment is, "now" when it is past, "-" for none."""
    if moment is None:
        return "-"
    return "now" if moment - now < timedelta(seconds=1) else f"in {format_duration(moment - now)}"


def deliveries(count: int) -> str:
    """A number of deliveries in words."""
    return f"{count} {'delivery' if count == 1 else 'deliveries'}"
