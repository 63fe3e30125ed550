"""What a front shows, and to whom: the answer of whoever mounts one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from relay.client.contract import Followed


@dataclass(frozen=True, slots=True)
class Faces:
    """A front's applications: its pages for everybody, its desk for moderators on this machine."""

    public: web.Application
    desk: web.Application
    opt_out: Callable[[str, web.Request], Awaitable[Followed]]
    """Follows a one-click link by its token, or keeps that until the relay is back; the request tells who asks."""
