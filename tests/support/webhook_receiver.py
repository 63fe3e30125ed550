"""A receiver of webhooks on loopback: takes, refuses, stays silent or closes, as a test wants; remembers every post."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import parse_qs

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One post."""

    method: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event of a post in the standard form."""
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data

    @property
    def mandrill(self) -> list[dict[str, Any]]:
        """The events of a post in Mandrill's form."""
        events: list[dict[str, Any]] = json.loads(parse_qs(self.body.decode())["mandrill_events"][0])
        return events


class WebhookReceiver:
    """Answers with the status that `judge` gives each post; 0 closes the connection without an answer."""

    def __init__(self) -> None:
        self.judge: Callable[[Received], int] = lambda _: 200
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.posts: list[Received] = []
        self.taken: list[Received] = []
        self.at_once = 0
        self.most_at_once = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def until_taken(self, count: int, seconds: float = 30) -> list[Received]:
        """Wait until so many posts were taken."""
        async with asyncio.timeout(seconds):
            while len(self.taken) < count:
                await asyncio.sleep(0.02)
        return self.taken

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        post = Received(request.method, dict(request.headers), await request.read())
        if request.method == "HEAD":
            return web.Response(status=self.judge(post))
        self.posts.append(post)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.at_once -= 1
        status = self.judge(post)
        if status == 0:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if 200 <= status < 300:
            self.taken.append(post)
        return web.Response(status=status, headers=self.headers)
