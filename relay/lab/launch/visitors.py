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
from typing import Final, NamedTuple
from urllib.parse import urlencode

import aiohttp

from relay.lab.launch.plan import Kind, Letter

_TOKEN: Final = re.compile(r'name="token" value="([^"]+)"')
_SECRET: Final = re.compile(r"/s/([a-z0-9]+)")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_REQUEST_SECONDS: Final = 60.0
_TRIES: Final = 8
_PAUSE: Final = 0.5
_PATIENCE: Final = 600
"""Seconds; who is asked to come back later than that goes, instead of pressing the button again."""
_OPEN_EVERY: Final = 5
"""One of so many visitors comes by the first page; the others go back to a form they have open."""


class Fate(StrEnum):
    """What became of a letter at the front's door."""

    SENT = "sent"
    REFUSED = "refused by a rule"
    NO_ADDRESS = "address not taken"
    LIMITED = "over a limit"
    FULL = "no room to be read"
    NOT_TAKEN = "not taken"


@dataclass(slots=True)
class Played:
    """A letter's fate, and the secret of its status link if it was sent."""

    letter: Letter
    fate: Fate
    secret: str = ""


class Answer(NamedTuple):
    """What the front said; status 0 where it said nothing."""

    status: int = 0
    page: str = ""
    where: str = ""
    """Where it sends the browser."""
    wait: int = 0
    """Seconds after which it wants to be asked again."""

    @property
    def fate(self) -> Fate | None:
        """What this alone makes of a letter; None where it is on its way."""
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return Fate.LIMITED
        return Fate.FULL if self.status == HTTPStatus.SERVICE_UNAVAILABLE and self.wait > _PATIENCE else None


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
        path = f"/{letter.language}/preview"
        answer = await self._ask(letter, "POST", path, form)
        if answer.fate is not None:
            return Played(letter, answer.fate)
        found = _TOKEN.search(answer.page)
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return Played(letter, Fate.REFUSED if 'value="appeal"' in answer.page else Fate.NO_ADDRESS)
        if answer.status != HTTPStatus.OK or found is None:
            return Played(letter, Fate.NOT_TAKEN)
        answer = await self._ask(letter, "POST", path, {"token": found[1], "action": "send"})
        if answer.fate is not None:
            return Played(letter, answer.fate)
        secret = _SECRET.search(answer.where)
        if answer.status != HTTPStatus.SEE_OTHER or secret is None:
            return Played(letter, Fate.NOT_TAKEN)
        if letter.kind is Kind.TAKEN_BACK:
            await self._ask(letter, "POST", f"/s/{secret[1]}", {"action": "cancel"})
        return Played(letter, Fate.SENT, secret[1])

    async def refuse(self, token: str) -> None:
        """A reader presses "never again"."""
        await self._request("POST", f"/r/{token}", {"action": "never"}, {})

    async def status_page(self, secret: str) -> str:
        """What a writer reads of their letter."""
        return (await self._request("GET", f"/en/s/{secret}", None, {})).page

    async def _ask(self, letter: Letter, method: str, path: str, fields: dict[str, str] | None = None) -> Answer:
        """Ask until the front can answer."""
        headers = {"X-Forwarded-For": letter.client, "X-Forwarded-Port": str(20_000 + letter.number % 40_000)}
        answer = Answer()
        for _ in range(_TRIES):
            began = time.perf_counter()
            answer = await self._request(method, path, fields, headers)
            if answer.status not in (0, HTTPStatus.SERVICE_UNAVAILABLE) or answer.fate is not None:
                (self.times.gets if method == "GET" else self.times.posts).append(time.perf_counter() - began)
                return answer
            self.times.retries += 1
            await asyncio.sleep(_PAUSE)
        return answer

    async def _request(self, method: str, path: str, fields: dict[str, str] | None, headers: dict[str, str]) -> Answer:
        body = None
        if fields is not None:
            # Left to itself, the client makes a multipart form first and throws it away.
            body, headers = urlencode(fields).encode(), {**headers, "Content-Type": _FORM_TYPE}
        try:
            async with (
                asyncio.timeout(_REQUEST_SECONDS),
                self._session.request(
                    method, self._url + path, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                told = response.headers
                wait = told.get("Retry-After", "")
                return Answer(
                    response.status,
                    await response.text(),
                    told.get("Location", ""),
                    int(wait) if wait.isascii() and wait.isdigit() else 0,
                )
        except (aiohttp.ClientError, TimeoutError):
            return Answer()
