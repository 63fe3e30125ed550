"""The web front, loaded by name: the relay's packages know nothing of it, and it nothing of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from aiohttp.web import Application

    from relay.node import FrontParts


def load_front(parts: FrontParts) -> Application:
    """The front of these parts."""
    mount = import_module("web.mounting").mount
    return cast(
        "Application",
        mount(
            parts.settings.web,
            parts.secrets,
            parts.sender_domain,
            parts.settings.folder,
            relay=parts.relay,
            database=parts.database,
            clock=parts.clock,
            entropy=parts.entropy,
        ),
    )
