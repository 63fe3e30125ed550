"""What every page shows besides its own: who is there, the other pages, and the time its figures are of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from relay.pages.keeper import ENTERED

PLACES: Final = (
    ("", "Today"),
    ("queue", "Queue"),
    ("paths", "Paths"),
    ("messages", "Messages"),
    ("warm-up", "Warm-up"),
    ("reports", "Reports"),
)
"""The pages: the path below `/admin`, and the name."""


def framed(request: web.Request, place: str, now: datetime, values: Mapping[str, Any]) -> dict[str, Any]:
    """A page's values with those of the frame; the door has let in who asks."""
    return {"session": request[ENTERED], "places": PLACES, "place": place, "now": now, **values}
