"""Somebody at the operator's pages, for tests: served on a real port as the node serves them; without scripts."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from relay.admin.app import make_admin_app
from relay.admin.parts import AdminParts
from relay.api.connections import HttpLimits
from relay.api.server import HttpServer
from relay.clock import Clock
from relay.database.contract import Database
from relay.doors import beside_desk
from relay.policy.diagnosis_file import load_diagnoser
from relay.policy.shaping_file import load_shaping
from tests.support.either_database import spool_on
from tests.support.form import PageReader

TOKEN = "o" * 32


async def _reported() -> frozenset[str]:
    return frozenset({"leak.example"})


class Operator:
    """A browser with a cookie jar of its own."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def enter(self, token: str = TOKEN, **headers: str) -> aiohttp.ClientResponse:
        response, _ = await self.ask("POST", "/admin/enter", {"token": token}, **headers)
        return response

    async def get(self, path: str) -> PageReader:
        """A page that is there."""
        response, page = await self.ask("GET", path)
        assert response.status == 200, page.text
        return page

    async def ask(
        self, method: str, path: str, fields: dict[str, str] | None = None, **headers: str
    ) -> tuple[aiohttp.ClientResponse, PageReader]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, self.url + path, data=fields, headers=named, allow_redirects=False
        ) as response:
            return response, PageReader(await response.text())


@asynccontextmanager
async def an_operator(database: Database, clock: Clock, *, entered: bool = True) -> AsyncIterator[Operator]:
    """Somebody at the pages of a node with this database and no desk."""
    aside = database.aside()
    diagnoser, rules = load_diagnoser(), load_shaping()
    parts = AdminParts(
        "mail.leak.example",
        aside,
        spool_on(database, clock),
        clock,
        {"ann": TOKEN},
        diagnoser.provider_of,
        lambda exchangers, domains: rules.shaping(exchangers, *domains),
        _reported,
        desk=False,
    )
    server = HttpServer(beside_desk(make_admin_app(parts), None), HttpLimits(), clock)
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    await server.start([listener])
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            somebody = Operator(url, session)
            if entered:
                assert (await somebody.enter()).status == 303
            yield somebody
    finally:
        await server.stop()
        await aside.close()
