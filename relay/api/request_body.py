"""Reading a request's body: capped before it is parsed, timed, never inflated, and bounded over all requests.

A body that is too large is refused by its declared length, or at the octet past the cap (S31). Compressed
bodies are refused, so there is no bomb to defuse (S30).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.client_exceptions import ClientError
from aiohttp.http_exceptions import HttpProcessingError

from relay.api.dependencies import ApiOptions
from relay.api.problem import Problem

_PIECE: Final = 64 * 1024


class BodyReader:
    """Reads bodies for all requests of one process."""

    def __init__(self, options: ApiOptions, types: frozenset[str] = frozenset({"application/json"})) -> None:
        self._types = types
        self._cap = options.max_body
        self._room = max(options.bodies_in_flight, options.max_body)
        self._deadline = options.body_deadline
        self._silence = options.silence

    @asynccontextmanager
    async def reading(self, request: web.Request) -> AsyncIterator[bytes | Problem]:
        """The body, or why there is none; its room is given back when the context ends."""
        held = bytearray()
        taken = 0
        try:
            refusal = self._refuse_early(request) or await self._fill(request, held)
            taken = len(held)
            whole = bytes(held)
            # The parser would copy what may still change, and keep both while it makes the message.
            held.clear()
            yield whole if refusal is None else refusal
        finally:
            self._room += taken or len(held)

    @contextmanager
    def streaming(self, request: web.Request, octets: int) -> Iterator[BodyPieces | Problem]:
        """A body of any type and size in pieces, of which the caller holds at most `octets`, or why there is none.

        Room is taken as they come: who announces much and sends little keeps it from nobody.
        """
        if (refusal := _refuse_compressed(request)) is not None:
            yield refusal
            return
        held = 0

        def take(came: int) -> bool:
            nonlocal held
            more = min(came, octets - held)
            if more > self._room:
                return False
            self._room -= more
            held += more
            return True

        try:
            yield BodyPieces(request, self._deadline, self._silence, take)
        finally:
            self._room += held

    def _refuse_early(self, request: web.Request) -> Problem | None:
        if (refusal := _refuse_compressed(request)) is not None:
            return refusal
        if request.content_type not in self._types or (request.charset or "utf-8").lower() not in {"utf-8", "utf8"}:
            return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send application/json in UTF-8.")
        if (request.content_length or 0) > self._cap:
            return self._too_large()
        if (request.content_length or 0) > self._room:
            return _no_room()
        return None

    async def _fill(self, request: web.Request, held: bytearray) -> Problem | None:
        """Read into `held`; whatever lies in it has been taken from the room."""
        pieces = BodyPieces(request, self._deadline, self._silence)
        while piece := await pieces.next():
            if isinstance(piece, Problem):
                return piece
            if len(held) + len(piece) > self._cap:
                return self._too_large()
            if len(piece) > self._room:
                return _no_room()
            self._room -= len(piece)
            held += piece
        return None

    def _too_large(self) -> Problem:
        detail = f"The body is larger than {self._cap} octets."
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, close=True)


class BodyPieces:
    """A body as it comes in. `deadline` bounds the time the client takes in all, `silence` each pause (seconds).

    `take` says of so many octets whether there is room for them.
    """

    def __init__(
        self, request: web.Request, deadline: float, silence: float, take: Callable[[int], bool] = lambda _: True
    ) -> None:
        self._content = request.content
        self._left = deadline
        self._silence = silence
        self._take = take

    async def next(self) -> bytes | Problem:
        """What came since; nothing at the end."""
        time = asyncio.get_running_loop().time
        begun = time()
        try:
            async with asyncio.timeout(min(self._silence, self._left)):
                piece = await self._content.read(_PIECE)
        except TimeoutError:
            return Problem(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.", close=True)
        except (ClientError, HttpProcessingError, ConnectionError):
            return Problem(HTTPStatus.BAD_REQUEST, "The body broke off.", close=True)
        finally:
            self._left -= time() - begun
        return piece if self._take(len(piece)) else _no_room()


def _refuse_compressed(request: web.Request) -> Problem | None:
    if request.headers.get("Content-Encoding", "identity").strip().lower() == "identity":
        return None
    return Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Compressed bodies are not taken.", close=True)


def _no_room() -> Problem:
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests at once.", retry_after=1, close=True)
