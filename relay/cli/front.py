"""The web front, loaded by name: the relay's packages know nothing of it, and it nothing of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.web import Application, Request

    from relay.client.contract import Followed
    from relay.fronting import Faces, FrontParts


def load_front(parts: FrontParts) -> Faces:
    """The front of these parts."""
    from relay.fronting import Faces

    mount = import_module("web.mounting").mount
    public, desk, opt_out = cast(
        "tuple[Application, Application, Callable[[str, Request], Awaitable[Followed]]]",
        mount(
            parts.settings.web,
            parts.secrets,
            parts.sender_domain,
            parts.settings.folder,
            relay=parts.relay,
            bell=parts.bell,
            database=parts.database,
            clock=parts.clock,
            entropy=parts.entropy,
            moderators=parts.moderators,
            content_kept=parts.settings.spool.keep_content,
        ),
    )
    return Faces(public, desk, opt_out)
