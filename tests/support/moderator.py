"""Somebody at the moderators' desk, for tests: enters with a token, reads pages, decides; without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from tests.support.form import PageReader
from tests.support.front import MODERATORS, Front


class Moderator:
    """A browser with a cookie jar of its own."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self.proof = ""

    async def enter(self, token: str) -> aiohttp.ClientResponse:
        response, _ = await self.ask("POST", "/desk/enter", {"token": token})
        if response.status == 303:
            _, page = await self.get("/desk")
            self.proof = page.fields["proof"]
        return response

    async def get(self, path: str) -> tuple[aiohttp.ClientResponse, PageReader]:
        return await self.ask("GET", path, None)

    async def post(self, path: str, **fields: str) -> tuple[aiohttp.ClientResponse, PageReader]:
        return await self.ask("POST", path, {"proof": self.proof} | fields)

    async def ask(
        self, method: str, path: str, fields: dict[str, str] | None, **headers: str
    ) -> tuple[aiohttp.ClientResponse, PageReader]:
        named = {"Accept-Language": "en"} | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, self._url + path, data=fields, headers=named, allow_redirects=False
        ) as response:
            return response, PageReader(await response.text())


@asynccontextmanager
async def a_moderator(front: Front, name: str = "ann") -> AsyncIterator[Moderator]:
    """Somebody who has entered; "" has not."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        somebody = Moderator(front.desk, session)
        if name:
            assert (await somebody.enter(MODERATORS[name])).status == 303
        yield somebody
