"""What every page shows besides its own: who is there, the other pages, and the time its figures are of."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from relay.admin.parts import AdminParts, Records
from relay.admin.render import Renderer
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


class Frame:
    """What every page is made with, and the way it is shown; behind the door."""

    def __init__(self, parts: AdminParts, records: Records, renderer: Renderer) -> None:
        self.parts = parts
        self.records = records
        self._renderer = renderer

    def page(
        self, request: web.Request, place: str, template: str, values: Mapping[str, Any], status: int = HTTPStatus.OK
    ) -> web.Response:
        """A page that stands at `place`; the door has let in who asks."""
        framed = {"session": request[ENTERED], "places": PLACES, "place": place, "now": self.parts.clock.now()}
        return self._renderer.page(template, {**framed, **values}, status=status)

    def redirect(self, location: str) -> web.Response:
        """303 to a path of ours."""
        return self._renderer.redirect(location)
