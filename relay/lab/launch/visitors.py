"""The people of the replay, with browsers: each opens the form, looks at the preview, sends, and may take it back.

They come through a proxy that tells their address. What the front answers is each letter's fate so far; a letter the
front could not take is sent again, as somebody would press the button again.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final

import aiohttp

from relay.lab.launch.plan import Kind, Letter

_TOKEN: Final = re.compile(r'name="token" value="([^"]+)"')
_SECRET: Final = re.compile(r"/s/([a-z0-9]+)")
_REQUEST_SECONDS: Final = 60.0
_TRIES: Final = 8
_PAUSE: Final = 0.5
_OPEN_EVERY: Final = 5
"""One of so many visitors comes by the first page; the others go back to a form they have open."""


class Fate(StrEnum):
    """What became of a letter at the front's door."""

    SENT = "sent"
    REFUSED = "refused by a rule"
    NO_ADDRESS = "address not taken"
    LIMITED = "over a limit"
    NOT_TAKEN = "not taken"


@dataclass(slots=True)
class Played:
    """A letter's fate, and the secret of its status link if it was sent."""

    letter: Letter
    fate: Fate
    secret: str = ""


@dataclass(slots=True)
class Times:
    """How long the front took, in seconds."""

    gets: list[float] = field(default_factory=list)
    posts: list[float] = field(default_factory=list)
    retries: int = 0


class Visitors:
    """Plays letters against a front at `url`; `times` collects how long it took to answer."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self.times = Times()

    async def play(self, letter: Letter) -> Played:
        """Write, preview and send `letter`."""
        if letter.number % _OPEN_EVERY == 0:
            await self._ask(letter, "GET", f"/{letter.language}/")
        form = {"to": letter.to, "signature": letter.signature, "message": letter.message, "rules": "on"}
        status, page, _ = await self._ask(letter, "POST", f"/{letter.language}/preview", form)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return Played(letter, Fate.LIMITED)
        found = _TOKEN.search(page)
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return Played(letter, Fate.REFUSED if 'value="appeal"' in page else Fate.NO_ADDRESS)
        if status != HTTPStatus.OK or found is None:
            return Played(letter, Fate.NOT_TAKEN)
        path = f"/{letter.language}/preview"
        status, page, where = await self._ask(letter, "POST", path, {"token": found[1], "action": "send"})
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return Played(letter, Fate.LIMITED)
        secret = _SECRET.search(where)
        if status != HTTPStatus.SEE_OTHER or secret is None:
            return Played(letter, Fate.NOT_TAKEN)
        if letter.kind is Kind.TAKEN_BACK:
            await self._ask(letter, "POST", f"/s/{secret[1]}", {"action": "cancel"})
        return Played(letter, Fate.SENT, secret[1])

    async def refuse(self, token: str) -> None:
        """A reader presses "never again"."""
        await self._request("POST", f"/r/{token}", {"action": "never"}, {})

    async def status_page(self, secret: str) -> str:
        """What a writer reads of their letter."""
        _, page, _ = await self._request("GET", f"/en/s/{secret}", None, {})
        return page

    async def _ask(
        self, letter: Letter, method: str, path: str, fields: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        """Ask until the front can answer; the status, the page and where it sends the browser."""
        headers = {"X-Forwarded-For": letter.client, "X-Forwarded-Port": str(20_000 + letter.number % 40_000)}
        answer: tuple[int, str, str] = (0, "", "")
        for _ in range(_TRIES):
            began = time.perf_counter()
            answer = await self._request(method, path, fields, headers)
            if answer[0] not in (0, HTTPStatus.SERVICE_UNAVAILABLE):
                (self.times.gets if method == "GET" else self.times.posts).append(time.perf_counter() - began)
                return answer
            self.times.retries += 1
            await asyncio.sleep(_PAUSE)
        return answer

    async def _request(
        self, method: str, path: str, fields: dict[str, str] | None, headers: dict[str, str]
    ) -> tuple[int, str, str]:
        try:
            async with (
                asyncio.timeout(_REQUEST_SECONDS),
                self._session.request(
                    method, self._url + path, data=fields, headers=headers, allow_redirects=False
                ) as response,
            ):
                return response.status, await response.text(), response.headers.get("Location", "")
        except (aiohttp.ClientError, TimeoutError):
            return 0, "", ""
