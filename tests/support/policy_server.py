"""An HTTPS server on loopback for MTA-STS policies, as honest or as broken as a test wants.

async with PolicyServer(authority, "mta-sts.d.test", text=POLICY) as server: ...server.port, server.requests...
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Self

import trustme
from aiohttp import web

PATH = "/.well-known/mta-sts.txt"
POLICY = "version: STSv1\r\nmode: enforce\r\nmx: mx1.test\r\nmax_age: 86400\r\n"


class PolicyServer:
    """Answers `text` with `status`, `content_type` and `headers`, after `delay` seconds."""

    def __init__(self, authority: trustme.CA, *names: str, text: str | bytes = POLICY, host: str = "127.0.0.1") -> None:
        self.text = text
        self.status = 200
        self.content_type = "text/plain"
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.port = 0
        self._host = host
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*names).configure_cert(self._context)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0, ssl_context=self._context)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner:
            await self._runner.cleanup()
        await asyncio.sleep(0.05)  # TLS transports close a turn later

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.headers)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
        finally:
            self.at_once -= 1
        body: Any = self.text.encode() if isinstance(self.text, str) else self.text
        headers = {"Content-Type": self.content_type, **self.headers}
        return web.Response(status=self.status, body=body, headers=headers)
