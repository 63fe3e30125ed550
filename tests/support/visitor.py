"""Somebody with a browser, for tests of the front: posts forms and reads pages, without scripts or cookies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import aiohttp

from tests.support.form import PageReader
from tests.support.front import Front
from web.letters import hash_secret

LETTER = {
    "to": "ann@example.org",
    "signature": "friend",
    "pseudonym": "",
    "message": "Thank you.\r\nFor all of it.",
    "rules": "on",
}


_IN_HAND: Final = """
SELECT 1 FROM web_handover h JOIN web_letter l ON l.id = h.letter_id
WHERE l.secret_hash = ? AND h.attempts = 1 AND h.due = h.promised
"""


class Visitor:
    """Somebody with a browser, without scripts or cookies."""

    def __init__(self, front: Front, session: aiohttp.ClientSession) -> None:
        self.front = front
        self._session = session

    async def get(self, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, PageReader]:
        return await self._ask("GET", path, None, headers)

    async def post(
        self, path: str, fields: dict[str, str], **headers: str
    ) -> tuple[aiohttp.ClientResponse, PageReader]:
        return await self._ask("POST", path, fields, headers)

    async def preview(self, **changes: str) -> str:
        """The token of a letter's preview."""
        response, page = await self.post("/en/preview", LETTER | changes)
        assert response.status == 200, page.text
        return page.fields["token"]

    async def send(self, token: str, **headers: str) -> aiohttp.ClientResponse:
        """Press the button; a letter that may leave at once has been tried once when this returns."""
        response, _ = await self.post("/en/preview", {"token": token, "action": "send"}, **headers)
        if response.status == HTTPStatus.SEE_OTHER:
            secret = hash_secret(response.headers["Location"].rpartition("/")[2])

            async def in_hand(front: Front) -> int:
                return len(await front.database.read(lambda connection: list(connection.execute(_IN_HAND, (secret,)))))

            await self.until_counted(in_hand, 0)
        return response

    async def until_arrived(self, letters: int = 1) -> None:
        """Wait until the relay has so many letters."""
        async with asyncio.timeout(60):
            while self.front.relay.arrivals < letters:
                await asyncio.sleep(0.01)

    async def until_counted(self, count: Callable[[Front], Awaitable[int]], wanted: int) -> None:
        """Wait until `count` of the front is what is wanted."""
        async with asyncio.timeout(60):
            while await count(self.front) != wanted:
                await asyncio.sleep(0.01)

    async def until_told(self, path: str, words: str) -> None:
        """Wait until a page says `words`."""
        async with asyncio.timeout(60):
            while words not in (await self.get(path))[1].text:
                await asyncio.sleep(0.01)

    async def _ask(
        self, method: str, path: str, fields: dict[str, str] | None, headers: dict[str, str]
    ) -> tuple[aiohttp.ClientResponse, PageReader]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = self.front.url + path
        async with self._session.request(method, url, data=fields, headers=named, allow_redirects=False) as response:
            return response, PageReader(await response.text())
