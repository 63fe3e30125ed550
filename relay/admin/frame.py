"""What every page shows besides its own: who is there, the other pages, and the time its figures are of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from relay.posted_form import ForeignFormError, read_fields
from relay.token_door import Entered

SESSION: Final = web.RequestKey("session", Entered)

OWN: Final = "http://localhost"
"""Forms come from the host they are posted to, which the listener has found to be this machine's."""

PLACES: Final = (
    ("", "Today"),
    ("queue", "Queue"),
    ("paths", "Paths"),
    ("messages", "Messages"),
    ("warm-up", "Warm-up"),
    ("reports", "Reports"),
)
"""The pages: the path below `/admin`, and the name."""


async def read_proven(request: web.Request) -> Mapping[str, str]:
    """The fields of a form of this session. Raises ForeignFormError for any other, UnreadableFormError."""
    fields = await read_fields(request, OWN)
    if fields.get("proof") != request[SESSION].proof:
        raise ForeignFormError
    return fields


def framed(request: web.Request, place: str, now: datetime, values: Mapping[str, Any]) -> dict[str, Any]:
    """A page's values with those of the frame; the door has let in who asks."""
    return {"session": request[SESSION], "places": PLACES, "place": place, "now": now, **values}
